"""Twilio's webhooks: inbound texts compared with a form route without I/O and with the naive build,
and receipts compared with the same form route."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, cycle
from urllib.parse import urlencode

from tests.bench import servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio
from tests.bench.later import measure_all_work
from tests.bench.load import Run, drive, post
from tests.bench.processor import cost_figure
from tests.bench.sends import none_refused, prepare_naive, told
from tests.bench.servers import PUBLIC, TWILIO, Bench, Lead

MOST = 12_000
"""Requests for one slice: each is signed and different from all others."""


def posts(leads: Iterator[Lead], numbers: Iterator[int]) -> Iterator[bytes]:
    """Signed posts of new texts, made beforehand."""
    made = []
    for _ in range(MOST):
        lead, n = next(leads), next(numbers)
        path = f"/webhooks/twilio/{lead.twilio_account}/inbound"
        form = {
            "AccountSid": TWILIO["accountSid"], "MessageSid": f"SM{n:032x}", "NumMedia": "0",
            "SmsSid": f"SM{n:032x}", "From": lead.phone, "To": lead.twilio_number,
            "Body": "Yes, tell me more please", "NumSegments": "1", "ApiVersion": "2010-04-01",
            "FromCountry": "US", "ToCountry": "US", "SmsStatus": "received",
        }  # fmt: skip
        made.append(signed(path, form))
    return iter(made)


def signed(path: str, form: dict[str, str]) -> bytes:
    """A request as Twilio makes it."""
    said = "".join(f"{name}{value}" for name, value in sorted(form.items()))
    digest = hmac.digest(TWILIO["authToken"].encode(), f"{PUBLIC}{path}{said}".encode(), "sha1")
    headers = {"Content-Type": "application/x-www-form-urlencoded",
               "X-Twilio-Signature": base64.b64encode(digest).decode()}  # fmt: skip
    return post(path, urlencode(form).encode(), headers)


async def inbound(bench: Bench) -> list[Figure]:
    """64 in flight; every text is new and belongs to a thread in agent mode."""
    await prepare_naive(bench)
    leads, numbers = cycle(bench.leads), count(1)
    mine: list[Run] = []
    forms: list[Run] = []
    naives: list[Run] = []
    with ExitStack() as stack:
        ours = stack.enter_context(servers.web(bench))
        form = stack.enter_context(servers.reference("form"))
        plain = stack.enter_context(
            servers.reference("naive", DATABASE_URL=bench.database_url, REDIS_URL=bench.redis_url)
        )
        for port in (ours, form, plain):
            await drive([port], posts(leads, numbers), 16, SECONDS)  # warm
        for _ in range(ROUNDS):
            for port, runs in ((ours, mine), (form, forms), (plain, naives)):
                runs.append(await drive([port], posts(leads, numbers), 64, SECONDS))
        name = "inbound webhook (Twilio), 64 in flight"
        all_work = await measure_all_work(
            bench, name, "text", lambda: drive([ours], posts(leads, numbers), 64, SECONDS)
        )
    none_refused(mine + forms + naives)
    rates = [run.per_second for run in mine]
    return [
        Figure(name, told(mine), f"form route {told(forms)}",
               ratio(rates, [r.per_second for r in forms]), 0.6),
        Figure(f"{name}: naive", told(mine), f"naive {told(naives)}",
               ratio(rates, [r.per_second for r in naives]), 15),
        cost_figure(name, "text", [run.cost for run in mine], 1.0),
        all_work,
    ]  # fmt: skip


SENT = """
UPDATE messages m SET account_id = replace(t.account_id, 'acct_', 'twilio_'), status = 'sent',
    provider_message_id = 'SM' || md5(m.tenant_id || m.message_id)
FROM provider_accounts t
WHERE m.tenant_id LIKE $1 AND m.message_id LIKE 'msg_seed_%' AND t.tenant_id = m.tenant_id
  AND t.provider = 'simulator'
"""


def reports(leads: Iterator[Lead]) -> Iterator[bytes]:
    """Signed receipts for the seeded texts, made beforehand."""
    made = []
    for _ in range(MOST):
        lead = next(leads)
        sid = hashlib.md5(f"{lead.tenant_id}msg_seed_{lead.lead_id}".encode(), usedforsecurity=False)
        path = f"/webhooks/twilio/{lead.twilio_account}/status?message=msg_seed_{lead.lead_id}"
        form = {
            "AccountSid": TWILIO["accountSid"], "MessageSid": f"SM{sid.hexdigest()}",
            "SmsSid": f"SM{sid.hexdigest()}", "MessageStatus": "delivered",
            "SmsStatus": "delivered", "To": lead.phone, "From": lead.twilio_number,
            "ApiVersion": "2010-04-01", "RawDlrDoneDate": "2611281200",
        }  # fmt: skip
        made.append(signed(path, form))
    return iter(made)


async def receipts(bench: Bench) -> list[Figure]:
    """64 in flight; every receipt moves another text from sent to delivered."""
    async with bench.system() as connection:
        await connection.execute(SENT, f"org_{bench.run}%")
    leads, numbers = cycle(bench.leads), count(1)
    mine: list[Run] = []
    forms: list[Run] = []
    with ExitStack() as stack:
        ours = stack.enter_context(servers.web(bench))
        form = stack.enter_context(servers.reference("form"))
        await drive([ours], reports(leads), 16, SECONDS)  # warm
        await drive([form], posts(leads, numbers), 16, SECONDS)
        for _ in range(ROUNDS):
            mine.append(await drive([ours], reports(leads), 64, SECONDS))
            forms.append(await drive([form], posts(leads, numbers), 64, SECONDS))
    none_refused(mine + forms)
    rates = [run.per_second for run in mine]
    return [
        Figure("receipts (Twilio), 64 in flight", told(mine), f"form route {told(forms)}",
               ratio(rates, [r.per_second for r in forms])),
        cost_figure("receipts (Twilio), 64 in flight", "receipt", [run.cost for run in mine], 0.6),
    ]  # fmt: skip
