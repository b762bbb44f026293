"""The reference `bare`: a FastAPI route with the send's own request and answer models and a
key to check, but no I/O; the same server settings. Do not change it: its figures must stay
comparable."""

from typing import Annotated

from fastapi import FastAPI, Security

from app.domain.problems import Unauthorized
from app.web.dependencies import api_key_header
from app.web.envelope import Answer
from app.web.sms_shapes import Queued, Rung, SendBody
from tests.bench.reference import serve

app = FastAPI()
RESOLUTION = [
    Rung(field="to", rule="lead", value="+14152000000"),
    Rung(field="campaign", rule="lead", value="campaign"),
    Rung(field="from", rule="campaign", value="+12122000000"),
    Rung(field="provider", rule="number", value="simulator"),
]


def caller(given: Annotated[str | None, Security(api_key_header)]) -> str:
    if given is None or not given.startswith("lss_"):
        raise Unauthorized
    return given


@app.post("/api/v1/sms/send", status_code=202)
async def send(body: SendBody, key: Annotated[str, Security(caller)]) -> Answer[Queued]:
    return Answer(
        data=Queued(
            message_id="msg_06h0re2bctsb53t95aiuvueaj4",
            interaction_id="int_06h0re2bctsb53t95aiuvueaj4",
            status="queued",
            to="+14152000000",
            from_="+12122000000",
            campaign_id="campaign",
            provider="simulator",
            encoding="GSM-7",
            segments=1,
            resolution=RESOLUTION,
        )
    )


if __name__ == "__main__":
    serve(app)
