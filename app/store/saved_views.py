"""Saved views, as a person sees them."""

from app.store.core import fetch_all
from app.store.engine import ReadTx
from app.store.schema import SavedView

LIST_OF_PERSON_SQL = """
SELECT * FROM saved_views WHERE tenant_id = $1 AND (user_id IS NULL OR user_id = $2)
ORDER BY lower(name), saved_view_id LIMIT 100
"""


async def list_of_person(read: ReadTx, tenant_id: str, user_id: str) -> list[SavedView]:
    """The person's own and everybody's, by name."""
    return await fetch_all(read, SavedView, LIST_OF_PERSON_SQL, tenant_id, user_id)
