"""`trial run`: runs a corpus against a candidate through the API, for a continuous integration."""

import html
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # ships no types

from app.demo.data import Api, ServiceAway
from app.settings import ConfigurationError

LOOK_SECONDS = 1.0
MAX_AWAY_SECONDS = 120.0
"""How long a service may be away, as in a deploy, before a build gives up its trial."""
PAGE_SIZE = 100
Fields = dict[str, Any]


class _CheckLoader(yaml.SafeLoader):  # type: ignore[misc]  # of a module without types
    """Dates stay texts: an answer has texts, and JSON has no dates."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """What is to be run: names or ids, and how good it must be."""

    corpus: str
    agent: str | None
    webhook_url: str | None
    of_shadow: bool
    judge_url: str | None
    checks_file: Path | None
    per_minute: int
    fail_under: float
    junit_file: Path | None


def run_trial(url: str, key_file: Path, order: TrialOrder) -> int:
    """Prints what came of it. Returns 1 if fewer passed than must. Raises `ConfigurationError`."""
    api = Api(url.rstrip("/"), _read_key(key_file))
    try:
        if order.junit_file:
            _write_report(order.junit_file, "")
        trial = api.call("POST", "/trials", **_build_body(api, order))
        ended_trial = _wait_for_end(api, trial["trialId"])
        results = list(_read_pages(api, f"/trials/{trial['trialId']}/results?limit={PAGE_SIZE}", "results"))
    except (RuntimeError, httpx.HTTPError) as error:
        raise ConfigurationError(f"the service does not answer as it should: {error}") from None
    if order.junit_file:
        _write_report(order.junit_file, build_junit(ended_trial, results))
    for line in describe(ended_trial, results):
        print(line)
    if ended_trial["state"] != "done":
        print(ended_trial["fault"] or "somebody stopped the trial")
        return 1
    share = get_share(ended_trial)
    print(f"{share:.1%} passed; {order.fail_under:.1%} must")
    return int(share < order.fail_under)


def _write_report(file: Path, report: str) -> None:
    """Also tried with an empty report before the trial, which takes minutes. Raises `ConfigurationError`."""
    try:
        file.write_text(report, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--junit: {error}") from None


def _read_key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--key-file: {error}") from None


def _build_body(api: Api, order: TrialOrder) -> Fields:
    body: Fields = {
        "corpusId": _find_one(api, "/corpora", "corpora", "corpusId", order.corpus, "--corpus"),
        "smsAgentId": _find_one(api, "/sms-agents", "smsAgents", "smsAgentId", order.agent, "--agent"),
        "webhookUrl": order.webhook_url,
        "ofShadow": order.of_shadow,
        "judgeUrl": order.judge_url,
        "perMinute": order.per_minute,
    }
    if order.checks_file:
        body["checks"] = _read_checks(order.checks_file)
    return body


def _read_checks(file: Path) -> Any:
    try:
        return _CheckLoader(file.read_text()).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"--checks: {' '.join(str(error).split())}") from None


def _find_one(api: Api, path: str, listed_as: str, id_field: str, wanted_name: str | None, option: str) -> str:
    """The id of the one with this id or name; without a wish, of the only one."""
    rows = list(_read_pages(api, f"{path}?limit={PAGE_SIZE}", listed_as))
    matches = [item for item in rows if wanted_name is None or wanted_name in (item[id_field], item["name"])]
    if len(matches) != 1:
        names = ", ".join(repr(item["name"]) for item in matches or rows) or "none"
        raise ConfigurationError(f"{option}: must name one by its id or name; there are {names}")
    return str(matches[0][id_field])


def _read_pages(api: Api, path: str, listed_as: str) -> Iterable[Fields]:
    page = api.call("GET", path)
    yield from page[listed_as]
    while page["hasMore"]:
        page = api.call("GET", f"{path}&cursor={page['nextCursor']}")
        yield from page[listed_as]


def _wait_for_end(api: Api, trial_id: str) -> Fields:
    """Goes on while the service is away, for `MAX_AWAY_SECONDS`. Raises `RuntimeError`, `httpx.HTTPError`."""
    seen_at = time.monotonic()
    while True:
        try:
            trial = api.call("GET", f"/trials/{trial_id}")
        except (ServiceAway, httpx.TransportError):
            if time.monotonic() - seen_at > MAX_AWAY_SECONDS:
                raise
        else:
            seen_at = time.monotonic()
            if trial["state"] != "running":
                return trial
        time.sleep(LOOK_SECONDS)


def get_share(trial: Fields) -> float:
    """The share that passed; 0 if nothing was judged."""
    tally = trial["tally"]
    return float(tally["passed"] / tally["settled"]) if tally["settled"] else 0.0


def describe(trial: Fields, results: Sequence[Fields]) -> Iterable[str]:
    """A line for each turn, and what failed of it."""
    for result in results:
        yield f"{'passed' if result['passed'] else 'FAILED'} {_get_name(result)}"
        if result["passed"]:
            continue
        yield from (f"    {line}" for line in _list_faults(result))
        yield f"    answered: {' / '.join(result['candidate']['texts']) or result['candidate']['kind']}"
    tally = trial["tally"]
    yield (
        f"{tally['settled']} turns: {tally['passed']} passed, {tally['same']} as recorded, {tally['failed']} failed, "
        + (f"{tally['tooSlow']} too slow")
    )


def _get_name(result: Fields) -> str:
    name = f" ({result['name']})" if result["name"] else ""
    return f"{result['corpusTurnId']}{name}"


def _list_faults(result: Fields) -> list[str]:
    return [f"{check['check']}: {check['detail']}" for check in result["checks"] if not check["passed"]]


def build_junit(trial: Fields, results: Sequence[Fields]) -> str:
    """The report as JUnit XML, which build servers read."""
    failed_count = sum(not result["passed"] for result in results)
    cases = "".join(_build_case(trial["corpusId"], result) for result in results)
    name = _quote(f"trial {trial['trialId']}")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="{name}" tests="{len(results)}" failures="{failed_count}">\n{cases}</testsuite>\n'
    )


def _build_case(corpus_id: str, result: Fields) -> str:
    seconds = (result["durationMs"] or 0) / 1000
    case = f'<testcase classname="{_quote(corpus_id)}" name="{_quote(_get_name(result))}" time="{seconds:.3f}"'
    if result["passed"]:
        return f"{case}/>\n"
    faults = _list_faults(result)
    words = "\n".join([*faults, "", *result["candidate"]["texts"]])
    return f'{case}><failure message="{_quote("; ".join(faults))}">{_quote(words)}</failure></testcase>\n'


def _quote(text: str) -> str:
    """`text` as XML, without the characters that XML cannot hold."""
    return html.escape("".join(c if _is_allowed(c) else "\ufffd" for c in text))


def _is_allowed(c: str) -> bool:
    return c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff"
