"""How every reference is served: as the service is. Frozen."""

import os

import uvicorn
from fastapi import FastAPI


def live() -> dict[str, str]:
    return {"status": "ok"}


def serve(app: FastAPI) -> None:
    """Runs it on PORT until it is ended; it answers at /health/live too."""
    app.get("/health/live")(live)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
    )
