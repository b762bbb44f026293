"""Applies the receipts of carriers."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands import timeline
from app.domain.carriage import Account, Receipt
from app.domain.part_receipts import PartReceipt, add_part, find_error
from app.store import carrier_opt_outs, receipts, suppressions
from app.store.carrier_opt_outs import ForeignOptOut, ReportedOptOut
from app.store.engine import Tx
from app.store.receipts import ReceiptOptOut

DEFAULT_CODES = {"failed": "FAILED", "undelivered": "UNDELIVERED"}
"""Codes for failures without a code of the carrier: queries find failed texts by their code."""


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """The receipts of one request of a carrier, for one account."""

    account: Account
    receipts: Sequence[Receipt]

    @property
    def has_opt_outs(self) -> bool:
        """Whether a receipt reports an opt-out; then phones and threads will be locked."""
        return any(receipt.has_opted_out for receipt in self.receipts)

    @property
    def has_parts(self) -> bool:
        """Whether a receipt is about one part of a text; then the text is read and written once more."""
        return any(receipt.part for receipt in self.receipts)


async def apply_reports(tx: Tx, reports: Sequence[ReceiptReport]) -> list[int]:
    """Applies the reports, each only to texts of its own account. Returns, for each report in order,
    how many of its receipts had an unknown status."""
    known_receipts = [
        _build_receipt(report.account, receipt, receipt.status)
        for report in reports
        for receipt in report.receipts
        if receipt.status is not None
    ]
    if known_receipts:
        opt_outs = await receipts.apply_receipts(tx, known_receipts)
        await _record_parts(tx, reports)
        changed_threads = await carrier_opt_outs.add_reported(
            tx, [_to_reported(opt_out) for opt_out in opt_outs if opt_out.message_id]
        )
        await timeline.tell_consent(tx, changed_threads)
        await _heed_foreign(tx, [opt_out for opt_out in opt_outs if not opt_out.message_id and opt_out.carrier_id])
    return [sum(receipt.status is None for receipt in report.receipts) for report in reports]


async def _record_parts(tx: Tx, reports: Sequence[ReceiptReport]) -> None:
    """Keeps the error of a part that failed, also after another part was delivered."""
    part_receipts = [
        (_build_receipt(report.account, receipt, receipt.status), receipt.part)
        for report in reports
        for receipt in report.receipts
        if receipt.part and receipt.status
    ]
    if not part_receipts:
        return
    parts_by_text: dict[tuple[str, str], dict[str, PartReceipt]] = {}
    for text in await receipts.find_long_texts(tx, [part_receipt for part_receipt, _ in part_receipts]):
        part_receipt, part = part_receipts[text.place]
        parts = parts_by_text.get((text.tenant_id, text.message_id), text.part_receipts or {})
        new_receipt = PartReceipt(status=part_receipt.status, code=part_receipt.code, message=part_receipt.message)
        parts_by_text[text.tenant_id, text.message_id] = add_part(parts, part, new_receipt)
    if parts_by_text:
        recorded_parts = [
            receipts.RecordedParts(*key, parts, *find_error(parts)) for key, parts in parts_by_text.items()
        ]
        await receipts.record_parts(tx, recorded_parts)


async def _heed_foreign(tx: Tx, opt_outs: Sequence[ReceiptOptOut]) -> None:
    """Heeds opt-outs from texts that we do not know: another system of the tenant may have sent them."""
    if opt_outs:
        reports = [
            ForeignOptOut(
                opt_out.tenant_id,
                opt_out.account_id,
                opt_out.carrier_id,
                opt_out.to_phone,
                tx.hash_phone(opt_out.to_phone),
                opt_out.at,
            )
            for opt_out in opt_outs
        ]
        new_places = await carrier_opt_outs.find_foreign_news(tx, reports)
        changed_threads = await suppressions.add(
            tx, [carrier_opt_outs.build_reported(_to_reported(opt_outs[place])) for place in new_places]
        )
        await timeline.tell_consent(tx, changed_threads)


def _to_reported(opt_out: ReceiptOptOut) -> ReportedOptOut:
    return ReportedOptOut(opt_out.tenant_id, opt_out.message_id, opt_out.to_phone, opt_out.code)


def _build_receipt(account: Account, receipt: Receipt, status: str) -> receipts.KnownReceipt:
    return receipts.KnownReceipt(
        tenant_id=account.tenant_id,
        account_id=account.account_id,
        status=status,
        at=receipt.at,
        message_id=receipt.message_id,
        provider_message_id=receipt.provider_message_id,
        code=receipt.code or DEFAULT_CODES.get(status),
        message=receipt.meaning,
        has_opted_out=receipt.has_opted_out,
        recipient=receipt.to,
        price=receipt.price.amount if receipt.price else None,
        currency=receipt.price.currency if receipt.price else None,
        is_price_of_part=receipt.is_price_of_part,
    )
