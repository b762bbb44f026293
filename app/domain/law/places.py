"""Where a recipient may live: what the lead's address says, else the area of the number, else anywhere."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.domain import phones, quiet

PlaceSource = Literal["lead", "number", "unknown", "abroad"]
"""What says where the recipient is: the lead's address or the number's area; nothing does; not in the United States."""
STATES: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "states.toml").read_text(encoding="utf-8"))


def _read_prefixes(ranges: str) -> list[str]:
    """`005 100-149` as a list of prefixes."""
    spans = (part.split("-") for part in ranges.split())
    return [f"{prefix:03}" for span in spans for prefix in range(int(span[0]), int(span[-1]) + 1)]


STATE_BY_ZIP = {prefix: code for code, state in STATES.items() for prefix in _read_prefixes(state["zips"])}
STATE_BY_AREA = {area: code for code, state in STATES.items() for area in state["areas"].split()}
STATE_BY_NAME = {state["name"].casefold(): code for code, state in STATES.items()} | {"washington dc": "DC"}
TERRITORIES = frozenset({"PR", "VI", "GU", "AS", "MP"})
ZIP_PATTERN = re.compile(r"(\d{3})\d{2}(?:-?\d{4})?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recipient may be. `states`: all that are possible; none: the United States' rules alone apply,
    or, abroad, none at all."""

    source: PlaceSource
    states: tuple[str, ...]
    zones: tuple[ZoneInfo, ...]

    @property
    def jurisdictions(self) -> list[str]:
        return [] if self.source == "abroad" else ["US", *(f"US-{state}" for state in self.states)]


def find_place(phone: str, state: str | None, postal_code: str | None, timezone: str | None) -> Place:
    """The address of the lead decides; a state and a postal code that disagree are both possible. A number
    moves with its owner, so its area decides only where no address is known. `timezone` is the lead's own."""
    own_states = sorted({code for code in (read_state(state), read_zip(postal_code)) if code})
    if own_states:
        return Place("lead", tuple(own_states), _find_zones(phone, timezone, own_states))
    zones = quiet.find_zones(phone, timezone)
    if area_state := STATE_BY_AREA.get(phone[2:5]) if phone.startswith("+1") else None:
        return Place("number", (area_state,), zones)
    region = phones.region_of(phone)
    if region in TERRITORIES:
        return Place("number", (), zones)
    if region not in ("US", None):
        return Place("abroad", (), zones)
    return Place("unknown", tuple(STATES), zones)


def read_state(words: str | None) -> str | None:
    """A state by its two letters, with or without the country, or by its name."""
    plain = re.sub(r"[.,\s]+", " ", words or "").strip().replace("D C", "DC")
    code = plain.upper().removeprefix("US-").removeprefix("US ")
    return code if code in STATES else STATE_BY_NAME.get(plain.casefold())


def read_zip(postal_code: str | None) -> str | None:
    """The state of a postal code of the United States."""
    match = ZIP_PATTERN.fullmatch((postal_code or "").strip())
    return STATE_BY_ZIP.get(match[1]) if match else None


def _find_zones(phone: str, timezone: str | None, states: list[str]) -> tuple[ZoneInfo, ...]:
    own_zones = quiet.find_zones(phone, timezone) if timezone else ()
    return own_zones or tuple(ZoneInfo(name) for name in sorted({zone for s in states for zone in STATES[s]["zones"]}))
