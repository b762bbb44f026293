"""How people are told: each person chooses for themselves."""

from collections.abc import Sequence

from app.commands.directory import require_url
from app.domain.callers import Caller
from app.domain.notices import NoticeKind, NoticeWay
from app.domain.problems import Invalid
from app.store import notices
from app.store.engine import Tx


def require_hook_url(url: str, allows_http: bool) -> str:
    """Raises `Invalid`."""
    require_url(url, "url")
    if not (allows_http or url.startswith("https://")):
        raise Invalid(details=["url: must be https"])
    return url


async def save(
    tx: Tx, caller: Caller, way: NoticeWay, kinds: Sequence[NoticeKind], sealed_url: bytes | None = None
) -> None:
    """Sets what the caller is told this way. `sealed_url`: a hook's; None: as before. Raises `Invalid`."""
    if way == "hook" and kinds and not (sealed_url or await notices.get_address(tx, caller.tenant_id, caller.actor)):
        raise Invalid(details=["url: is required"])
    await notices.save_way(tx, caller.tenant_id, caller.actor, way, kinds, sealed_url)
