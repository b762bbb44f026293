"""Serves every reference in the same way as the service. Do not change it."""

import os

import uvicorn
from fastapi import FastAPI


def live() -> dict[str, str]:
    return {"status": "ok"}


def serve(app: FastAPI) -> None:
    """Serves `app` on PORT until the process is ended; adds /health/live."""
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
