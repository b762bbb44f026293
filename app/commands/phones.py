"""Phones as callers name them. A phone that is stored is understood everywhere, whatever it looks like."""

from collections.abc import Mapping, Sequence

from app.domain import phones
from app.domain.problems import Invalid
from app.store import known_phones, tenants
from app.store.engine import ReadTx


async def read_phone(read: ReadTx, tenant_id: str, raw_phone: str, field: str = "phone") -> str:
    """A phone that may have written to us. Raises `Invalid` naming the field."""
    [phone] = await read_phones(read, tenant_id, [raw_phone])
    return phone if phone is not None else phones.refuse(field)


async def read_phones(read: ReadTx, tenant_id: str, raw_phones: Sequence[str]) -> list[str | None]:
    """Phones that may have written to us, in order; None for what is no phone of any kind."""
    country = await tenants.get_country(read, tenant_id)
    read_ones = [phones.recognize_phone(raw_phone, country) for raw_phone in raw_phones]
    names = {
        raw: phones.keep_as_brought(raw) for raw, phone in zip(raw_phones, read_ones, strict=True) if phone is None
    }
    return await _add_known(read, tenant_id, raw_phones, read_ones, names)


async def read_recipient(read: ReadTx, tenant_id: str, raw_phone: str, field: str, country: str | None = None) -> str:
    """A phone to text. Raises `Invalid` naming the field."""
    country = country or await tenants.get_country(read, tenant_id)
    [phone] = await read_recipients(read, tenant_id, [raw_phone], country)
    return phone if phone is not None else phones.refuse(field)


async def read_recipients(read: ReadTx, tenant_id: str, raw_phones: Sequence[str], country: str) -> list[str | None]:
    """Phones to text, in order: valid ones, and those that are stored; None for all others."""
    read_ones: list[str | None] = []
    stored_forms: dict[str, str] = {}
    for raw_phone in raw_phones:
        try:
            read_ones.append(phones.normalize_phone(raw_phone, country))
        except Invalid:
            read_ones.append(None)
            stored_forms[raw_phone] = phones.recognize_phone(raw_phone, country) or phones.keep_as_brought(raw_phone)
    return await _add_known(read, tenant_id, raw_phones, read_ones, stored_forms)


async def _add_known(
    read: ReadTx,
    tenant_id: str,
    raw_phones: Sequence[str],
    read_ones: Sequence[str | None],
    stored_forms: Mapping[str, str],
) -> list[str | None]:
    """Fills the gaps in `read_ones` with those of `stored_forms` that the tenant has stored."""
    if not stored_forms:
        return list(read_ones)
    known_forms = await known_phones.find_known(read, tenant_id, list(stored_forms.values()))
    return [
        stored_forms[raw] if phone is None and stored_forms[raw] in known_forms else phone
        for raw, phone in zip(raw_phones, read_ones, strict=True)
    ]
