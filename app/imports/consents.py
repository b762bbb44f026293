"""The consent columns of a file of leads: read as the API reads them, recorded once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from app.commands import consents
from app.commands.consents import GivenConsent
from app.commands.directory import Fields
from app.domain.callers import Caller
from app.domain.consent import BASES
from app.domain.problems import Invalid, Problem
from app.domain.words import ConsentBasis
from app.store.engine import Tx

CONSENT_FIELDS = {
    "consentBasis": "Consent",
    "consentSource": "Consent given at",
    "consentObtainedAt": "Consent given on",
    "consentProof": "Proof of consent",
}
"""The fields, and their names on the page."""
MAX_LENGTH = 500


def add_consent(row: Mapping[str, str], lead: Fields | Problem) -> Fields | Problem:
    """The lead with the consent that its row has, as `consent`; or what is wrong with the consent."""
    values = {name: value.strip() for name, value in row.items() if name in CONSENT_FIELDS and value.strip()}
    if isinstance(lead, Problem) or not values:
        return lead
    basis, at = read_basis(values.get("consentBasis", "")), read_time(values.get("consentObtainedAt", ""))
    source, proof = values.get("consentSource"), values.get("consentProof")
    checks = {
        f"consentBasis: must be one of {', '.join(BASES)}": basis not in BASES,
        "consentBasis: needs a phone in its row": not lead.get("phone"),
        "consentObtainedAt: is not an ISO 8601 date or time": "consentObtainedAt" in values and at is None,
        "consentObtainedAt: is in the future": at is not None and at > datetime.now(UTC),
        f"consentSource: is longer than {MAX_LENGTH} characters": len(source or "") > MAX_LENGTH,
        f"consentProof: is longer than {MAX_LENGTH} characters": len(proof or "") > MAX_LENGTH,
    }
    if faults := [fault for fault, is_wrong in checks.items() if is_wrong]:
        return Invalid(details=faults)
    consent = GivenConsent(phone="", basis=cast("ConsentBasis", basis), source=source, proof=proof, obtained_at=at)
    return {**lead, "consent": consent}


def read_basis(value: str) -> str:
    """`Express written` as `express_written`."""
    return "_".join(value.casefold().replace("-", " ").replace("_", " ").split())


def read_time(value: str) -> datetime | None:
    """A date or time; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # there are times of the year 1 that UTC does not know
        return None


async def record_new(tx: Tx, caller: Caller, leads: Sequence[Fields]) -> list[Fields]:
    """Records the consents of the rows that are not recorded yet; returns the leads without them."""
    given_consents = [
        replace(consent, phone=fields["phone"]) for fields in leads if (consent := fields.get("consent")) is not None
    ]
    await consents.record_new(tx, caller, given_consents)
    return [{name: value for name, value in fields.items() if name != "consent"} for fields in leads]
