"""Receive texts from leads: see once, route, thread, obey STOP, collect for the agent."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain import ids, optout
from app.domain.carriage import Account, InboundText
from app.store import inbox, suppressions
from app.store.clock import turn_hint
from app.store.engine import Row, Tx


@dataclass(frozen=True, slots=True)
class Received:
    """What became of the texts of one webhook. `stopped`: phones that just opted out."""

    stored: int = 0
    repeated: int = 0
    foreign: int = 0
    stopped: tuple[str, ...] = ()


async def texts(tx: Tx, account: Account, inbound: Sequence[InboundText]) -> Received:
    """Stores the texts that are new and sent to numbers of the account; the rest is counted."""
    tenant = account.tenant_id
    numbers = await inbox.ours(tx, tenant, account.account_id, [text.to for text in inbound])
    addressed = [text for text in inbound if text.to in numbers]
    if not addressed:
        return Received(foreign=len(inbound))
    await suppressions.lock_phones(tx, [(tenant, text.sender) for text in addressed])
    ids_seen = [text.provider_id for text in addressed]
    fresh = await inbox.see(tx, tenant, account.account_id, ids_seen)
    new = list({t.provider_id: t for t in addressed if t.provider_id in fresh}.values())
    if new:
        await _store(tx, account, new)
    return Received(
        stored=len(new),
        repeated=len(addressed) - len(new),
        foreign=len(inbound) - len(addressed),
        stopped=tuple(t.sender for t in new if optout.judge(t.text) == "stop"),
    )


async def _store(tx: Tx, account: Account, new: Sequence[InboundText]) -> None:
    routes = await inbox.route(tx, [(account.tenant_id, t.to, t.sender) for t in new])
    leads = await _leads(tx, account.tenant_id, new, routes)
    arrivals = [
        inbox.Arrival(
            tenant_id=account.tenant_id,
            message_id=ids.make("msg"),
            thread_id=ids.make("int"),
            our_number=text.to,
            lead_phone=text.sender,
            lead_id=leads[text.sender, text.to],
            campaign_id=route["campaign_id"] if route["lead_id"] else route["primary_campaign"],
            account_id=account.account_id,
            provider=account.provider,
            provider_id=text.provider_id,
            text=text.text.replace("\x00", ""),
            media=[{"url": one.url, "contentType": one.content_type} for one in text.media],
            conversation=not route["suppressed"] and optout.judge(text.text) is None,
        )
        for text, route in zip(new, routes, strict=True)
    ]
    stopped = {a.lead_phone for a in arrivals if optout.judge(a.text) == "stop"}
    if stopped:
        await suppressions.lock_threads(tx, sorted((account.tenant_id, p) for p in stopped))
    threaded = await inbox.thread(tx, arrivals)
    await _obey(tx, account, arrivals)
    await _collect(
        tx,
        [
            (arrival, row)
            for arrival, row in zip(arrivals, threaded, strict=True)
            if row["forwardable"] and arrival.lead_phone not in stopped
        ],
    )


async def _leads(
    tx: Tx, tenant_id: str, new: Sequence[InboundText], routes: Sequence[Row]
) -> dict[tuple[str, str], str]:
    """The lead of each (phone, our number); a phone that nobody knows gets one placeholder."""
    found: dict[tuple[str, str], str] = {}
    placeholders: dict[str, tuple[str, str, str, str | None]] = {}
    for text, route in zip(new, routes, strict=True):
        lead_id = route["lead_id"]
        if lead_id is None:
            made = (tenant_id, ids.make("lead"), text.sender, route["primary_campaign"])
            lead_id = placeholders.setdefault(text.sender, made)[1]
        found[text.sender, text.to] = lead_id
    if placeholders:
        await inbox.add_placeholders(tx, list(placeholders.values()))
    return found


async def _obey(tx: Tx, account: Account, arrivals: Sequence[inbox.Arrival]) -> None:
    """STOP is obeyed here, in the webhook's own transaction, on every path."""
    await suppressions.add(
        tx,
        [
            suppressions.Cause(
                tenant_id=account.tenant_id,
                phone=arrival.lead_phone,
                cause="lead",
                actor="lead",
                event="opted_out",
                rule="word",
                text=arrival.text,
                message_id=arrival.message_id,
            )
            for arrival in arrivals
            if optout.judge(arrival.text) == "stop"
        ],
    )


async def _collect(tx: Tx, texts: Sequence[tuple[inbox.Arrival, Row]]) -> None:
    if not texts:
        return
    threads = sorted({(arrival.tenant_id, row["interaction_id"]) for arrival, row in texts})
    turns = await inbox.collect(
        tx,
        [(*thread, ids.make("turn")) for thread in threads],
        [(arrival.tenant_id, arrival.message_id) for arrival, _ in texts],
    )
    for turn in turns:
        tx.hints[turn_hint(turn["tenant_id"], turn["interaction_id"])] = turn["due_at"]
