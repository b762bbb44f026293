"""Twilio's inbound webhook, against a form route without I/O and the naive build."""

import base64
import hmac
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, cycle
from urllib.parse import urlencode

from tests.bench import servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio
from tests.bench.load import Run, drive, post
from tests.bench.sends import none_refused, prepare_naive, told
from tests.bench.servers import PUBLIC, TWILIO, Bench, Lead

MOST = 12_000
"""Requests made for one slice: each is signed and unlike any before."""


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
        said = "".join(f"{name}{value}" for name, value in sorted(form.items()))
        signed = f"{PUBLIC}{path}{said}".encode()
        digest = hmac.digest(TWILIO["authToken"].encode(), signed, "sha1")
        headers = {"Content-Type": "application/x-www-form-urlencoded",
                   "X-Twilio-Signature": base64.b64encode(digest).decode()}  # fmt: skip
        made.append(post(path, urlencode(form).encode(), headers))
    return iter(made)


async def inbound(bench: Bench) -> list[Figure]:
    """64 in flight; every text is new, and meets a thread in agent mode."""
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
    none_refused(mine + forms + naives)
    name, rates = "inbound webhook (Twilio), 64 in flight", [run.per_second for run in mine]
    return [
        Figure(name, told(mine), f"form route {told(forms)}",
               ratio(rates, [r.per_second for r in forms]), 0.7),
        Figure(f"{name}: naive", told(mine), f"naive {told(naives)}",
               ratio(rates, [r.per_second for r in naives]), 15),
    ]  # fmt: skip
