"""The consent columns of a file of leads: read as the API reads them, recorded once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.commands import consents
from app.commands.consents import GivenConsent
from app.commands.directory import Fields
from app.domain.callers import Caller
from app.domain.consent import BASES
from app.domain.problems import Invalid, Problem
from app.store.engine import Tx

CONSENT_FIELDS = {
    "consentBasis": "Consent",
    "consentSource": "Consent given at",
    "consentObtainedAt": "Consent given on",
    "consentProof": "Proof of consent",
}
"""The fields, and their names on the page."""
COLUMNS = {
    "consentBasis": "consent_basis",
    "consentSource": "consent_source",
    "consentObtainedAt": "consent_obtained_at",
    "consentProof": "consent_proof",
}
MAX_LENGTH = 500


def add_consent(row: Mapping[str, str], lead: Fields | Problem) -> Fields | Problem:
    """The lead with the consent that its row has, or what is wrong with the consent."""
    cells = {COLUMNS[name]: cell.strip() for name, cell in row.items() if name in COLUMNS and cell.strip()}
    if isinstance(lead, Problem) or not cells:
        return lead
    faults = _list_faults(cells, has_phone=bool(lead.get("phone")))
    return Invalid(details=faults) if faults else {**lead, **cells}


def _list_faults(cells: Mapping[str, str], has_phone: bool) -> list[str]:
    basis = read_basis(cells.get("consent_basis", ""))
    at = read_time(cells["consent_obtained_at"]) if "consent_obtained_at" in cells else None
    checks = {
        f"consentBasis: must be one of {', '.join(BASES)}": basis not in BASES,
        "consentBasis: needs a phone in its row": not has_phone,
        "consentObtainedAt: is not an ISO 8601 date or time": "consent_obtained_at" in cells and at is None,
        "consentObtainedAt: is in the future": at is not None and at > datetime.now(UTC),
        f"consentSource: is longer than {MAX_LENGTH} characters": len(cells.get("consent_source", "")) > MAX_LENGTH,
        f"consentProof: is longer than {MAX_LENGTH} characters": len(cells.get("consent_proof", "")) > MAX_LENGTH,
    }
    return [fault for fault, is_wrong in checks.items() if is_wrong]


def read_basis(cell: str) -> str:
    """`Express written` as `express_written`."""
    return "_".join(cell.casefold().replace("-", " ").replace("_", " ").split())


def read_time(cell: str) -> datetime | None:
    """A date or time; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(cell)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # there are times of the year 1 that UTC does not know
        return None


async def record_new(tx: Tx, caller: Caller, leads: Sequence[Fields]) -> list[Fields]:
    """Records the consents of the rows that are not recorded yet; returns the leads without them."""
    given_consents = [
        GivenConsent(
            phone=fields["phone"],
            basis=read_basis(fields["consent_basis"]),  # type: ignore[arg-type]
            source=fields.get("consent_source"),
            proof=fields.get("consent_proof"),
            obtained_at=read_time(fields["consent_obtained_at"]) if "consent_obtained_at" in fields else None,
        )
        for fields in leads
        if "consent_basis" in fields
    ]
    await consents.record_new(tx, caller, given_consents)
    return [_drop_consent(lead) for lead in leads]


def _drop_consent(lead: Fields) -> dict[str, Any]:
    return {name: value for name, value in lead.items() if name not in COLUMNS.values()}
