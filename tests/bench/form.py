"""The reference `form`: a FastAPI route that reads the carrier's form with `request.form()` and
checks its signature, without I/O; the same server settings. Do not change it."""

import base64
import hmac

from fastapi import FastAPI, HTTPException, Request, Response
from starlette.datastructures import FormData

from tests.bench.reference import serve
from tests.bench.servers import PUBLIC, TWILIO

app = FastAPI()


def genuine(request: Request, form: FormData) -> bool:
    """Twilio's signature: HMAC-SHA1 over the address and the sorted parameters."""
    said = "".join(f"{name}{value}" for name, value in sorted(form.multi_items()))
    signed = f"{PUBLIC}{request.url.path}{said}".encode()
    expected = base64.b64encode(hmac.digest(TWILIO["authToken"].encode(), signed, "sha1")).decode()
    return hmac.compare_digest(expected, request.headers.get("x-twilio-signature", ""))


@app.post("/webhooks/twilio/{account_id}/inbound")
async def inbound(request: Request, account_id: str) -> Response:
    if not genuine(request, await request.form()):
        raise HTTPException(401)
    return Response("<Response/>", media_type="text/xml")


if __name__ == "__main__":
    serve(app)
