"""What the columns of a file mean: a field of a lead, as other systems name it, or nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO
from unicodedata import normalize

from app.domain.lead_fields import CUSTOM_KEY, TAG_SEPARATORS
from app.imports.consents import CONSENT_FIELDS
from app.imports.csv_files import Dialect, Encoding, read_lines, read_names

LEAD_FIELDS = {
    "phone": "Phone",
    "firstName": "First name",
    "lastName": "Last name",
    "email": "E-mail",
    "leadId": "Lead id",
    "campaignId": "Campaign id",
    "status": "Status",
    "timezone": "Time zone",
    "state": "State",
    "postalCode": "Postal code",
    "tags": "Tags",
    **CONSENT_FIELDS,
}
"""The fields that a file may set, and their names on the page."""
SUPPRESSION_FIELDS = {"phone": "Phone"}
CUSTOM_COLUMN = re.compile(rf"customFields\.({CUSTOM_KEY.pattern})")
"""A column with a custom field of leads."""
CUSTOM_FIELD = "customFields.KEY"
SPELLINGS = {
    "phone": "mobilephone mobilephonenumber mobilenumber mobile mobileno cellphone cellphonenumber cellnumber cell"
    " smsnumber smsphone phone phonenumber phoneno primaryphone contactnumber contactphone telephone telephonenumber"
    " tel phone1 phone1value homephone msisdn"
    " celular movil numerodetelefono telefono handy handynummer mobilnummer telefonnummer telefon portable",
    "firstName": "firstname first givenname forename fname contactfirstname nombre vorname prenom",
    "lastName": "lastname last surname familyname lname contactlastname apellido apellidos nachname nom",
    "email": "email emailaddress mail primaryemail contactemail email1 email1value"
    " correo correoelectronico courriel emailadresse",
    "leadId": "leadid externalid contactid recordid customerid personid crmid id",
    "campaignId": "campaignid campaign",
    "status": "status leadstatus stage leadstage contactstatus",
    "timezone": "timezone tz ianatimezone",
    "state": "state stateprovince stateregion province estado bundesland",
    "postalCode": "postalcode zip zipcode postcode postal plz codigopostal codepostal",
    "tags": "tags",
    "consentBasis": "consentbasis",
    "consentSource": "consentsource",
    "consentObtainedAt": "consentobtainedat",
    "consentProof": "consentproof",
}
"""By field, the names of other systems without blanks and marks. Where a file has several of them, the
first here is meant: a text should go to a mobile phone."""


def guess_columns(names: Sequence[str], fields: Mapping[str, str]) -> list[str]:
    """For each column the field that its name means; "": none. No field is meant twice. Custom fields are
    known by the names of their columns, in files of leads."""
    columns = [""] * len(names)
    for field in fields:
        spellings = SPELLINGS[field].split()
        ranks = {i: _rank_name(name, field, spellings) for i, name in enumerate(names) if not columns[i]}
        known_ranks = [(rank, i) for i, rank in ranks.items() if rank is not None]
        if known_ranks:
            columns[min(known_ranks)[1]] = field
    for i, name in enumerate(names):
        if fields is LEAD_FIELDS and CUSTOM_COLUMN.fullmatch(name) and name not in columns:
            columns[i] = name
    return columns


def get_field(name: str) -> str:
    """The field of a column that is named as a field is."""
    return CUSTOM_FIELD if CUSTOM_COLUMN.fullmatch(name) else name


def build_lead_body(row: Mapping[str, str]) -> dict[str, Any]:
    """The lead of a row as a body of the API has it. An empty value is left out."""
    values = {
        name: stripped for name, value in row.items() if name not in CONSENT_FIELDS and (stripped := value.strip())
    }
    custom_fields = {match[1]: value for name, value in values.items() if (match := CUSTOM_COLUMN.fullmatch(name))}
    body: dict[str, Any] = {name: value for name, value in values.items() if not CUSTOM_COLUMN.fullmatch(name)}
    if "tags" in body:
        body["tags"] = [tag for part in TAG_SEPARATORS.split(body["tags"]) if (tag := part.strip())]
    return body | ({"customFields": custom_fields} if custom_fields else {})


def read_any_header(text_file: TextIO, encoding: Encoding) -> tuple[Iterator[str], Dialect]:
    """The lines below the header, and how the file is written. Raises `UnreadableFile`."""
    lines = read_lines(text_file)
    return lines, read_names(lines, encoding, lambda names: len([*filter(None, guess_columns(names, LEAD_FIELDS))]))


def _rank_name(name: str, field: str, spellings: Sequence[str]) -> int | None:
    """How well the name fits the field: the lower, the better. None: not at all."""
    if name == field:
        return -1
    plain_name = "".join(c for c in normalize("NFKD", name.casefold()) if c.isalnum() and c.isascii())
    return spellings.index(plain_name) if plain_name in spellings else None
