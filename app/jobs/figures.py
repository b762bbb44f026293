"""A worker's Prometheus metrics. Agents are labelled by id; no metric names a tenant."""

from functools import cache

from prometheus_client import Counter, Histogram

ATTEMPTS = Counter("leadsail_attempts", "Requests to carriers that send a text.", ["provider", "outcome"])
ATTEMPT_SECONDS = Histogram("leadsail_attempt_seconds", "How long carriers took to answer.", ["provider"])
HAND_OVERS = Counter("leadsail_hand_overs", "Turns posted to agents, by outcome.", ["agent", "outcome"])
TURN_LATE_SECONDS = Histogram(
    "leadsail_turn_late_seconds",
    "How long after it was due a turn was handed over.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60),
)
AGENT_SECONDS = Histogram("leadsail_agent_seconds", "How long agents took to answer.", ["agent"])
EVENT_POSTS = Counter("leadsail_event_posts", "Events posted to webhook endpoints, by outcome.", ["outcome"])
EVENT_LATE_SECONDS = Histogram(
    "leadsail_event_late_seconds",
    "How long after it happened an event was first claimed for an endpoint.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 600),
)


@cache
def _attempt_metrics(provider: str, outcome: str) -> tuple[Counter, Histogram]:
    return ATTEMPTS.labels(provider, outcome), ATTEMPT_SECONDS.labels(provider)


def count_attempt(provider: str, outcome: str, seconds: float) -> None:
    """Counts a request that sends a text, and its seconds."""
    attempts, durations = _attempt_metrics(provider, outcome)
    attempts.inc()
    durations.observe(seconds)
