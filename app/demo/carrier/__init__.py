"""The simulated carrier: a real HTTP server that can fail in every way in which carriers fail.

The last four digits of the recipient choose what happens (only here; they mean nothing elsewhere):

    0001  refuses: not a phone number          0011  takes it, never answers
    0002  refuses: opted out                   0012  takes it, breaks the connection
    0003  429, Retry-After 1, then takes it    0013  takes it, answers 500
    0004  refuses: unauthorized                0014  answers 500, has not taken it
    0005  refuses: no credit                   0015  answers 500 once, then takes it
    0006  503, has not taken it                0016  as 0013, and its look-up finds nothing
    0007  429 twice, then takes it             0017  takes it, answers after 3 s
    0021  receipt before the answer            0018  takes it, answers a byte at a time, endlessly
    0022  receipts in reverse                  0019  takes it, answers with 8 MiB
    0023  every receipt twice                  0020  takes it, answers with an HTML page
    0024  no receipt at all                    0025  undelivered
                                               0026  undelivered, opted out

For every other number the carrier takes the text and reports `sent`, then `delivered`. On the page
at `/` a person can write texts as a lead.
"""

from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from app.demo.carrier import api, phone
from app.demo.carrier.state import Carrier, sign_webhook
from app.demo.data import Demo, split_address

__all__ = ["Carrier", "build_app", "run_carrier", "sign_webhook"]

RECEIPT_DELAY_SECONDS = 0.15


def build_app(
    secret: str,
    inbound_urls: dict[str, str] | None = None,
    lead: str = "+12125551234",
    receipts: float = RECEIPT_DELAY_SECONDS,
) -> Starlette:
    """The carrier of one customer, with this secret. `inbound_urls` are the webhooks of its numbers,
    `lead` is the phone that the page shows first, `receipts` the seconds before each receipt."""
    app = Starlette(
        routes=[
            Route("/", phone.show_phone, methods=["GET", "POST"]),
            Route("/health", api.answer_health),
            Route("/messages", api.take_text, methods=["POST"]),
            Route("/messages", api.look_up_texts, methods=["GET"]),
            Route("/messages/{id}", api.look_up_text, methods=["GET"]),
            Route("/numbers", api.list_numbers),
            Route("/inbound", api.list_inbound_texts),
            Route("/2010-04-01/Accounts/{sid}/Messages.json", api.list_twilio_texts),
            Route("/configure", api.configure_number, methods=["POST"]),
            Route("/accepted", api.count_requests),
            Route("/phone/{phone}/texts", phone.text_as_lead, methods=["POST"]),
            Route("/phone/{phone}/texts", phone.list_phone_texts, methods=["GET"]),
        ],
    )
    app.state.carrier = Carrier(secret, dict(inbound_urls or {}), receipts)
    app.state.lead = lead
    return app


def run_carrier(file: str) -> None:
    """Runs the carrier of the demo that `file` describes."""
    demo = Demo.read(Path(file))
    inbound = f"{demo.addresses.api}/webhooks/simulator/{demo.account_id}/inbound"
    host, port = split_address(demo.addresses.carrier)
    uvicorn.run(
        build_app(demo.carrier_secret, {demo.number: inbound}),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
