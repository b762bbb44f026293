"""How the organization's texts, turns and agents fare, for its admins."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.access import sessions
from app.store import system as store
from app.store.engine import Row
from app.web.doors import Held
from app.web.page import render
from app.web.page.charts import Chart, chart
from app.web.page.doors import Admin, Token

router = APIRouter(include_in_schema=False)
Span = Literal["hour", "day", "month"]
MONTHS = 3
"""Of segments: this month and those before it."""
LEFT = ("sent", "delivered", "failed", "undelivered", "unknown")
"""A text in one of these left for the carrier."""


@dataclass(frozen=True, slots=True)
class Look:
    """A span of time, and the step of its charts."""

    name: str
    lasts: timedelta
    step: timedelta

    def since(self, now: datetime) -> datetime:
        """Such that the step that runs now is the last one."""
        running = datetime.fromtimestamp(now.timestamp() // self.step.total_seconds() * self.step.total_seconds(), UTC)
        return running + self.step - self.lasts


LOOKS: dict[Span, Look] = {
    "hour": Look("Last hour", timedelta(hours=1), timedelta(minutes=1)),
    "day": Look("Last day", timedelta(days=1), timedelta(minutes=15)),
    "month": Look("Last 30 days", timedelta(days=30), timedelta(hours=6)),
}


@dataclass(slots=True)
class Fate:
    """What became of texts."""

    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def texts(self) -> int:
        return self.statuses.total()

    @property
    def left(self) -> int:
        return sum(self.statuses[status] for status in LEFT)

    @property
    def delivered(self) -> int:
        return self.statuses["delivered"]

    @property
    def failed(self) -> int:
        return self.statuses["failed"] + self.statuses["undelivered"]

    @property
    def unknown(self) -> int:
        return self.statuses["unknown"]

    def share(self, count: int) -> float | None:
        """Percent of what left; None where nothing did."""
        return 100 * count / self.left if self.left else None


@dataclass(slots=True)
class Carried:
    """Texts of one provider, and of each number below it."""

    provider: str
    fate: Fate
    numbers: dict[str, Fate]


@router.get("/system")
async def system(request: Request, person: Admin, token: Token, held: Held, span: Span = "hour") -> Response:
    tenant, look, now = person.tenant_id, LOOKS[span], datetime.now(UTC)
    since = look.since(now)
    async with held.database.reading(tenant) as read:
        texts = await store.texts(read, tenant, since, look.step)
        turns = await store.turns(read, tenant, since, look.step)
        shown = {
            "consent": await store.consent(read, tenant, since),
            "agents": await store.agents(read, tenant, since),
            "segments": await store.segments(read, tenant, _months_ago(now, MONTHS - 1)),
            "oldest": {row["what"]: row for row in await store.oldest(read, tenant)},
        }
    return render.page(
        request,
        "system.html",
        person=person,
        csrf=sessions.csrf_token(token),
        looks=LOOKS,
        span=span,
        since=since,
        middle=since + look.lasts / 2,
        carried=carried(texts),
        fate=_fate(texts),
        sends=_rate(look, since, texts, _failures(texts)),
        turns=_rate(look, since, turns),
        **shown,
    )


def _fate(rows: Iterable[Row]) -> Fate:
    fate = Fate()
    for row in rows:
        fate.statuses[row["status"]] += row["count"]
    return fate


def carried(rows: Iterable[Row]) -> list[Carried]:
    """By provider, and by number within it; those with the most texts first."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["provider"] or "none"][row["from_phone"] or ""].append(row)
    providers = [
        Carried(
            provider,
            _fate(row for some in numbers.values() for row in some),
            dict(
                sorted(
                    ((number, _fate(some)) for number, some in numbers.items()),
                    key=lambda pair: -pair[1].texts,
                )
            ),
        )
        for provider, numbers in found.items()
    ]
    return sorted(providers, key=lambda one: -one.fate.texts)


def _failures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["status"] in ("failed", "undelivered")]


def _rate(look: Look, since: datetime, *series: Sequence[Row]) -> Chart:
    """A minute, in each step of the span."""
    minutes = look.step.total_seconds() / 60
    steps = round(look.lasts / look.step)
    drawn = []
    for rows in series:
        values = [0.0] * steps
        for row in rows:
            place = int((row["at"] - since) / look.step)
            if 0 <= place < steps:  # one that the database's clock puts into the next step
                values[place] += row["count"] / minutes
        drawn.append(values)
    return chart(*drawn)


def _months_ago(now: datetime, months: int) -> datetime:
    """The beginning of that month, UTC."""
    whole = now.year * 12 + now.month - 1 - months
    return datetime(whole // 12, whole % 12 + 1, 1, tzinfo=UTC)
