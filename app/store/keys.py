"""Keys of rows."""

from typing import NamedTuple


class MessageKey(NamedTuple):
    tenant_id: str
    message_id: str
