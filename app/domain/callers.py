"""The caller of a command: an API key, a signed-in person, or the service itself."""

from dataclasses import dataclass
from typing import Literal

from app.domain.problems import Forbidden
from app.domain.words import Scope, Source

Need = Literal["admin", "api", "read", "reply", "turns"]
NEEDS_BY_SCOPE: dict[Scope, frozenset[Need]] = {
    "admin": frozenset({"admin", "api", "read", "reply", "turns"}),
    "api": frozenset({"api", "read", "reply", "turns"}),
    "read": frozenset({"read", "turns"}),
    "agent": frozenset({"reply", "turns"}),
}
"""What each key scope allows (docs/sending.md, "Keys and scopes")."""


AUTHOR_KINDS = {"user": "person", "key": "key", "smsagent": "agent"}


def get_author(actor: str) -> str:
    """Who did something, from the bare id that texts and consent events have: `person:…`, `key:…` or
    `agent:…`; `lead`, `carrier` and `service` stay as they are."""
    kind = AUTHOR_KINDS.get(actor.partition("_")[0])
    return f"{kind}:{actor}" if kind else actor


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do. `actor` is the id of the key or person in records; `agent_id`
    is the agent of a key with scope `agent`."""

    tenant_id: str
    actor: str
    kind: Literal["key", "person", "service"]
    scope: Scope
    agent_id: str | None = None
    per_second: int | None = None
    """Requests per second that the key may make; None: no limit."""

    @property
    def author(self) -> str:
        """Who did something, as records say it: `key:…`, `person:…` or `service`."""
        return self.kind if self.kind == "service" else f"{self.kind}:{self.actor}"

    @property
    def source(self) -> Source:
        """The source of texts that this caller sends."""
        if self.kind == "person":
            return "manual"
        return "sms_agent" if self.scope == "agent" else "api" if self.kind == "key" else "system"

    def require(self, need: Need) -> None:
        """Raises `Forbidden` when the scope does not cover `need`."""
        if need not in NEEDS_BY_SCOPE[self.scope]:
            raise Forbidden
