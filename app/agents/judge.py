"""A judge of the tenant: a webhook that says whether an answer passes."""

import json

import httpx

from app.agents.webhook import parse_reason
from app.domain.checks import CheckResult


def read_verdict(response: httpx.Response) -> CheckResult:
    """A judge's `{"passed": true, "reason": "…"}`. Whatever else it answers has not passed."""
    if not response.is_success:
        return CheckResult("judge", False, f"the judge answered HTTP {response.status_code}")
    try:
        verdict = json.loads(response.content)
    except (ValueError, RecursionError):
        verdict = None
    if not isinstance(verdict, dict) or not isinstance(verdict.get("passed"), bool):
        return CheckResult("judge", False, "the judge's answer has no `passed`, which must be true or false")
    return CheckResult("judge", verdict["passed"], None if verdict["passed"] else parse_reason(verdict.get("reason")))
