"""Who asks: an API key, a signed-in person, or the service itself."""

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
"""What each key scope may do (contract 2, "Scopes")."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`actor` names the key or person in records; `agent_id` binds an agent-scoped key."""

    tenant_id: str
    actor: str
    kind: Literal["key", "person", "service"]
    scope: Scope
    agent_id: str | None = None
    per_second: int | None = None
    """Requests a second that the key may make; None: any number."""

    @property
    def source(self) -> Source:
        """The source of a text this caller sends (contract 4): it follows the credential."""
        if self.kind == "person":
            return "manual"
        return "sms_agent" if self.scope == "agent" else "api" if self.kind == "key" else "system"

    def require(self, need: Need) -> None:
        """Raises `Forbidden` when the scope does not cover `need`."""
        if need not in NEEDS_BY_SCOPE[self.scope]:
            raise Forbidden
