"""Phones of all countries, in whatever form they are written: what can be stored can be looked up,
suppressed, released, exported and imported."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import phonenumbers
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat as Format

from app.domain.callers import Caller
from app.domain.phones import MOBILE_TYPES
from app.operations import imports
from app.operations.imports import ImportReport
from app.resources import Resources
from tests.makers import Tenant

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
MAX_SHORT_DIGITS = 6
FORMS = ["E164", "INTERNATIONAL", "NATIONAL", "RFC3966"]


def write_phone(region: str, digits: str, form: str) -> tuple[str, str]:
    """A phone as somebody writes it, and in E.164."""
    sample: Any = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    sample = sample or phonenumbers.example_number(region)
    assume(sample is not None)
    plain = phonenumbers.national_significant_number(sample)
    number: Any = phonenumbers.parse(f"+{sample.country_code}{plain[: -len(digits)]}{digits}")
    if not phonenumbers.is_valid_number(number):
        number = sample
    written = phonenumbers.format_number(number, getattr(Format, form))
    # So few digits are a short code, unless they are a mobile: TA has landlines of four.
    assume(not written.isdigit() or len(written) > MAX_SHORT_DIGITS or phonenumbers.number_type(number) in MOBILE_TYPES)
    return written, phonenumbers.format_number(number, Format.E164)


@pytest.fixture
def run_import(resources: Resources, tenant: Tenant, tmp_path: Path) -> Any:
    async def run(kind: str, content: str) -> ImportReport:
        file = tmp_path / "file.csv"
        file.write_text(content, encoding="utf-8")
        report = ImportReport()
        importer = imports.import_leads if kind == "leads" else imports.import_suppressions
        await importer(resources.database, Caller(tenant.tenant_id, "service", "service", "admin"), file, None, report)
        return report

    return run


async def check_phone(tenant: Tenant, run_import: Any, region: str, written: str, phone: str) -> None:
    await tenant.call("PATCH", "/settings", {"defaultCountry": region})
    lead = await tenant.call("POST", "/leads", {"phone": written})
    assert lead["phone"] == phone
    here = f"/leads/{lead['leadId']}"
    exported = await tenant.call("GET", f"{here}/export")
    assert (exported["lead"]["phone"], exported["consent"]["phone"]) == (phone, phone)
    assert (await run_import("leads", f'phone\n"{written}"\n')).outcomes == {"unchanged": 1}
    for suppress in ("api", "import", "lead"):
        if suppress == "api":
            await tenant.call("POST", "/suppressions", {"phones": [written]})
        elif suppress == "import":
            assert (await run_import("suppressions", f'phone\n"{written}"\n')).outcomes == {"added": 1}
            assert (await run_import("suppressions", f'phone\n"{phone}"\n')).outcomes == {"unchanged": 1}
        else:
            await tenant.call("PUT", f"{here}/dnc", {"channels": ["sms"]})
        for form in (written, phone):
            assert (await tenant.call("GET", f"/consent/{quote(form, safe='')}"))["suppressed"], form
        assert (await tenant.call("GET", here))["isDnc"]
        if suppress == "lead":
            await tenant.call("DELETE", f"{here}/dnc")
        else:
            await tenant.call("DELETE", f"/suppressions/{quote(written, safe='')}")
        assert not (await tenant.call("GET", f"/consent/{quote(phone)}"))["suppressed"]
    assert (await tenant.call("GET", "/leads", params={"search": phone}))["leads"]
    await tenant.call("DELETE", here)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(region=st.sampled_from(REGIONS), digits=st.text("0123456789", min_size=1, max_size=4),
       form=st.sampled_from(FORMS))  # fmt: skip
@example(region="MX", digits="5678", form="NATIONAL")
@example(region="AR", digits="5678", form="INTERNATIONAL")
@example(region="IT", digits="1", form="NATIONAL")
async def test_each_phone_that_is_stored_is_known_in_every_form(
    tenant: Tenant, run_import: Any, region: str, digits: str, form: str
) -> None:
    written, phone = write_phone(region, digits, form)
    await check_phone(tenant, run_import, region, written, phone)


@pytest.mark.parametrize(
    "written", ["+5215512345678", "+52 1 55 1234 5678", "044 55 1234 5678", "045 55 1234 5678", "55 1234 5678",
                "(55) 1234-5678", "01152 1 55 1234 5678"],
)  # fmt: skip
async def test_each_form_of_a_mexican_mobile_is_the_same_phone(tenant: Tenant, run_import: Any, written: str) -> None:
    region = "US" if written.startswith("011") else "MX"
    await check_phone(tenant, run_import, region, written, "+525512345678")
