"""What the Figures page says about counts: shares with their intervals, changes, costs, the best hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.figures import get_costs, get_interval
from app.web.page.times import UNITS, choose_unit

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some cases, in percent, with its 95 % interval."""

    count: int
    total: int

    @property
    def percent(self) -> float | None:
        return 100 * self.count / self.total if self.total else None

    @property
    def ends(self) -> tuple[float, float] | None:
        interval = get_interval(self.count, self.total)
        return (100 * interval[0], 100 * interval[1]) if interval else None


def share(counts: Counts, part: str, whole: str) -> Share:
    total = counts.get(whole, 0)
    return Share(min(counts.get(part, 0), total), total)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure, and what it was in the span before. `is_good`: more of it is better; None: neither. `link`: the
    conversations behind it."""

    name: str
    value: float | None
    before: float | None
    unit: str = ""
    is_good: bool | None = None
    digits: int = 1
    link: str | None = None

    @property
    def change(self) -> float | None:
        """The change: of shares in points, of others in percent of the value before."""
        if self.value is None or self.before is None:
            return None
        if self.unit == "%":
            return self.value - self.before
        return 100 * (self.value - self.before) / self.before if self.before else None

    @property
    def is_as_before(self) -> bool:
        return self.change is not None and abs(self.change) < (0.05 if self.unit == "%" else 1)

    @property
    def kind(self) -> str:
        if self.is_good is None or self.change is None or self.is_as_before:
            return ""
        return "better" if (self.change > 0) == self.is_good else "worse"


def build_key_figures(now: Counts, before: Counts, links: Mapping[str, str]) -> list[KeyFigure]:
    """The line at the top. `links`: of measures, the conversations behind them."""

    def build_rate(name: str, part: str, whole: str, *, is_good: bool) -> KeyFigure:
        percents = [share(counts, part, whole).percent for counts in (now, before)]
        return KeyFigure(name, percents[0], percents[1], "%", is_good, link=links.get(part))

    def build_mean(name: str, part: str, whole: str, divisor: int, unit: str) -> KeyFigure:
        means = [
            counts.get(part, 0) / counts[whole] / divisor if counts.get(whole) else None for counts in (now, before)
        ]
        return KeyFigure(name, means[0], means[1], unit, is_good=False)

    mean_reply = now.get("replySeconds", 0) / (now.get("replied", 0) or 1)
    reply_unit, unit_seconds = choose_unit(mean_reply, UNITS[1:])  # hours at most
    return [
        KeyFigure("Texts", now.get("texts", 0), before.get("texts", 0)),
        KeyFigure("Segments", now.get("segments", 0), before.get("segments", 0)),
        build_rate("Delivered", "delivered", "texts", is_good=True),
        build_rate("Replied", "replied", "texted", is_good=True),
        build_rate("Qualified", "qualified", "texted", is_good=True),
        build_rate("Opted out", "optOuts", "texted", is_good=False),
        build_mean("First reply after", "replySeconds", "replied", unit_seconds, reply_unit),
        build_mean("Agents answer in", "agentMs", "timedTurns", 1000, "s"),
        *_build_costs(now, before),
    ]


def _build_costs(now: Counts, before: Counts) -> list[KeyFigure]:
    """For each currency in which carriers told prices."""
    own_costs, former_costs = get_costs(now), get_costs(before)
    return [
        KeyFigure(name, cost, former_values.get(currency), currency, is_good, digits=2)
        for name, values, former_values, is_good in (
            ("Cost of texts", own_costs.texts, former_costs.texts, None),
            ("Cost per reply", own_costs.per_reply, former_costs.per_reply, False),
            ("Cost per qualified lead", own_costs.per_qualified, former_costs.per_qualified, False),
        )
        for currency, cost in values.items()
    ]


def describe_costs(costs: Mapping[str, float]) -> str:
    """As `0.31 EUR + 1.20 USD`: currencies are not added."""
    return " + ".join(f"{cost:,.2f} {currency}" for currency, cost in costs.items())


@dataclass(frozen=True, slots=True)
class NamedShare:
    name: str
    share: Share


def find_best_hour(hours: Sequence[tuple[str, Counts]]) -> NamedShare | None:
    """The hour in which threads are opened that surely get most replies: by the lower end of the interval, so that
    one reply of one does not win. None: nobody has replied."""
    named_shares = [NamedShare(name, share(counts, "replied", "texted")) for name, counts in hours]
    replied = [item for item in named_shares if item.share.count]
    return max(replied, key=lambda item: (item.share.ends or (0.0, 0.0))[0], default=None)
