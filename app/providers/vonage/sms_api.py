"""Webhooks of Vonage's SMS API, the older one: signatures, inbound texts and receipts.

https://developer.vonage.com/en/api/sms
https://developer.vonage.com/en/getting-started/concepts/signing-messages
"""

import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import md5
from typing import Any

from app.domain.carriage import Account, InboundText, Receipt, TextPart
from app.domain.phones import from_carrier
from app.domain.words import MessageStatus
from app.providers.reading import get_line, get_time, parse_object, read_price
from app.providers.signatures import TIMESTAMP, require_fresh
from app.providers.vonage.errors import OPT_OUT_CODES

STATUSES: dict[str, MessageStatus] = {
    "accepted": "sent",
    "buffered": "sent",
    "unknown": "sent",
    "delivered": "delivered",
    "expired": "undelivered",
    "failed": "undelivered",
    "rejected": "undelivered",
}
CURRENCY = "EUR"
"""These receipts name none; those of the Messages API do, and have no other."""
SMALL_NUMBER = re.compile(r"[0-9]{1,3}")
MAX_PARTS = 255
DIGESTS = ("md5", "sha1", "sha256", "sha512")


def is_signed(account: Account, parameters: Mapping[str, Any], now: datetime, max_age: timedelta) -> bool:
    """SMS API: whether `sig` signs all other parameters, by any of the methods that an account
    can choose."""
    signature, stamp = (get_line(parameters, "sig") or "").lower().encode(), get_line(parameters, "timestamp") or ""
    secret = account.credentials["signatureSecret"].encode()
    if not secret or not TIMESTAMP.fullmatch(stamp):
        return False
    pairs = (
        f"&{name}={re.sub('[&=]', '_', _write_value(value))}"
        for name, value in sorted(parameters.items())
        if name != "sig"
    )
    signed_bytes = "".join(pairs).encode("utf-8", "replace")
    signatures = [md5(signed_bytes + secret, usedforsecurity=False).hexdigest()]
    signatures += [hmac.digest(secret, signed_bytes, digest).hex() for digest in DIGESTS]
    if not any([hmac.compare_digest(expected_signature.encode(), signature) for expected_signature in signatures]):
        return False
    if parameters.get("api-key", account.credentials["apiKey"]) != account.credentials["apiKey"]:
        return False
    require_fresh(int(stamp), now, max_age)
    return True


def parse_body(body: bytes) -> dict[str, Any]:
    """The parameters of a JSON body, with decimal numbers as they are written there: the signature is
    made of the written values, and a parsed 0.0330 would become 0.033."""
    parameters = parse_object(body)
    if any(isinstance(value, float) for value in parameters.values()):
        written_values = json.loads(body, parse_float=str)
        parameters |= {name: written_values[name] for name, value in parameters.items() if isinstance(value, float)}
    return parameters


def _write_value(value: object) -> str:
    """The value of a parameter as Vonage signs it: a text as it is, null as nothing, anything else as
    JSON writes it."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        return ""


def read_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (get_line(data, name) for name in ("messageId", "msisdn", "to"))
    text = data.get("text")
    if not (carrier_id and sender and to and isinstance(text, str)):
        return None
    if data.get("type") == "binary":
        return None  # binary data for a device, not a text
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=text,
        sent_at=get_time(data, "message-timestamp"),
        part=_read_part(data),
    )


def read_receipt(parameters: Mapping[str, Any], message_parameter: str | None) -> Receipt | None:
    carrier_id, vendor_status = get_line(parameters, "messageId"), get_line(parameters, "status")
    if not (carrier_id and vendor_status):
        return None
    code = get_line(parameters, "err-code")
    # Here msisdn is the recipient; in an inbound text it is the sender.
    sender, to = get_line(parameters, "to"), get_line(parameters, "msisdn")
    return Receipt(
        provider_message_id=carrier_id,
        status=STATUSES.get(vendor_status),
        message_id=get_line(parameters, "client-ref") or message_parameter,
        sender=from_carrier(sender) if sender else None,
        to=from_carrier(to) if to else None,
        code=None if code == "0" else code,
        has_opted_out=code in OPT_OUT_CODES,
        at=get_time(parameters, "message-timestamp"),
        price=read_price(parameters.get("price"), CURRENCY),
        is_price_of_part=True,
        part=carrier_id,  # each part has an id of its own; the client-ref is the same
    )


def _read_part(data: Mapping[str, Any]) -> TextPart | None:
    reference, number, total = (get_line(data, f"concat-{name}") or "" for name in ("ref", "part", "total"))
    if _write_value(data.get("concat")).lower() not in ("true", "1") or not (
        reference and SMALL_NUMBER.fullmatch(number) and SMALL_NUMBER.fullmatch(total)
    ):
        return None
    part = TextPart(reference, int(number), int(total))
    return part if 1 <= part.number <= part.total <= MAX_PARTS else None
