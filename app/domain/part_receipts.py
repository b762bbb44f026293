"""Receipts of a long text's parts, where the carrier reports them one by one.

The text is as far as its furthest part, but the error of a part that failed stays visible: the lead
got half a text.
"""

from collections.abc import Mapping
from typing import TypedDict

from app.domain.words import STATUS_RANK

FAILURES = ("failed", "undelivered")


class PartReceipt(TypedDict):
    """The furthest status of a part, and the error if it failed."""

    status: str
    code: str | None
    message: str | None


PartReceipts = Mapping[str, PartReceipt]


def add_part(parts: PartReceipts, part: str, receipt: PartReceipt) -> dict[str, PartReceipt]:
    """The parts with one more receipt. A part moves forward only, as a text does."""
    known_receipt = parts.get(part)
    if known_receipt and STATUS_RANK[known_receipt["status"]] >= STATUS_RANK[receipt["status"]]:
        return dict(parts)
    return {**parts, part: receipt}


def find_error(parts: PartReceipts) -> tuple[str | None, str | None]:
    """Code and words of the first part that failed; (None, None): none did."""
    failed_part = next((part for part in parts.values() if part["status"] in FAILURES), None)
    if failed_part is None:
        return None, None
    message = failed_part["message"]
    if all(part["status"] in FAILURES for part in parts.values()):
        return failed_part["code"], message
    return failed_part["code"], "Delivered in part" + (f": {message}" if message else ".")
