"""What a text costs, where its carrier says it: in receipts, in records, in the answer to a send."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from app.domain.carriage import LookupMatch, Outcome, Price, Receipt
from app.providers import plivo, simulator, telnyx, twilio, vonage
from app.providers.reading import read_price
from tests.providers import test_plivo as plivo_cases
from tests.providers import test_simulator as simulator_cases
from tests.providers import test_telnyx as telnyx_cases
from tests.providers import test_twilio as twilio_cases
from tests.providers import test_vonage as vonage_cases
from tests.providers.tables import table

COST = {"cost": {"amount": "0.0051", "currency": "USD"}}
TOLD: Sequence[tuple[str, list[Receipt] | list[LookupMatch] | list[Outcome] | None, str, str]] = [
    ("telnyx, receipt", telnyx.read_status(telnyx_cases.hook(
        telnyx_cases.event("message.finalized", telnyx_cases.RECEIPT | COST), telnyx_cases.STATUS_URL)),
     "0.0051", "USD"),
    ("telnyx, record", telnyx.read_lookup(
        telnyx_cases.records(telnyx_cases.RECORD | {"cost": "0.0102", "currency": "USD"}), telnyx_cases.TEXT,
        telnyx_cases.NOW), "0.0102", "USD"),
    ("telnyx, answer", [telnyx.read_outcome(telnyx_cases.answer(200, {"data": {"id": "tx-1", **COST}}))],
     "0.0051", "USD"),
    ("plivo, receipt", plivo.read_status(plivo_cases.receipt(TotalAmount="0.00350", Units="1")), "0.0035", "USD"),
    ("plivo, record", plivo.read_lookup(
        plivo_cases.page(plivo_cases.entry("pu-1", 1, total_amount="0.00700")), plivo_cases.TEXT, plivo_cases.NOW),
     "0.007", "USD"),
    ("vonage, receipt", vonage.read_status(
        vonage_cases.receipt("delivered", usage={"currency": "EUR", "price": "0.0333"})), "0.0333", "EUR"),
    ("vonage, old receipt", vonage.read_status(vonage_cases.old_receipt("delivered")), "0.0333", "EUR"),
    ("twilio, record", twilio.read_lookup(
        twilio_cases.page(twilio_cases.listed("SM1", 1, price="-0.00750", price_unit="usd")), twilio_cases.TEXT,
        twilio_cases.NOW), "0.0075", "USD"),
    ("simulator, receipt", simulator.read_status(simulator_cases.hook(
        simulator_cases.RECEIPT | {"price": "0.0079", "currency": "USD"})), "0.0079", "USD"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "amount", "currency"), [pytest.param(*case, id=name) for name, *case in TOLD])
def test_a_price_is_read_with_its_currency(told: list[Any], amount: str, currency: str) -> None:
    [item] = told
    assert item.price == Price(Decimal(amount), currency)


def test_only_the_old_receipts_of_vonage_tell_the_price_of_a_part() -> None:
    [receipt] = vonage.read_status(vonage_cases.old_receipt("delivered"))
    assert receipt.is_price_of_part
    [whole] = plivo.read_status(plivo_cases.receipt(TotalAmount="0.00700", Units="2"))
    assert (whole.part, whole.is_price_of_part) == ("pu-9", False)


@table(
    ("a number", (0.0333, "EUR"), "0.0333"),
    ("nothing to pay", ("0", "USD"), "0"),
    ("small letters", ("1", "usd"), "1"),
    ("finer than millionths", ("0.00000051", "USD"), "0.000001"),
    ("not told yet", (None, "USD"), None),
    ("without a currency", ("1", None), None),
    ("a sign is no currency", ("1", "$"), None),
    ("words", ("free", "USD"), None),
    ("no number", ("NaN", "USD"), None),
    ("no end", ("Infinity", "USD"), None),
    ("more than a text can cost", ("1e9", "USD"), None),
    ("an object", ({}, "USD"), None),
)
def test_a_price_reads_as(given: tuple[Any, Any], expected: str | None) -> None:
    price = read_price(*given)
    assert (price and price.amount) == (expected and Decimal(expected))
