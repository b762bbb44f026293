"""A search finds leads by e-mail, and names with or without their accents

The index is built anew beside all traffic; if that is interrupted, run the migration again. The code of the
last release finds leads all the time, without an index until it is replaced.

Revision ID: 0036
Revises: 0035
Created: 2026-11-29
"""

from alembic import context, op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

# A body that is parsed when it is made finds fold_text under any search_path, also when an index is built.
ADD_FUNCTION_SQL = r"""
CREATE OR REPLACE FUNCTION fold_name(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 300
RETURN fold_text(CASE WHEN octet_length(t) = char_length(t) THEN t  -- ASCII
    -- Letters without their accents, but for the Greek iota below, which fold_text makes a letter of its own,
    -- as capitals have it. Some letters have no accent that could be taken off.
    ELSE translate(regexp_replace(normalize(t, NFKD), '[\u0300-\u0344\u0346-\u036F]', '', 'g'),
                   'øØłŁđĐħĦ', 'oOlLdDhH') END)
"""
NEW_INDEXES = {
    "ix_leads_found": """leads USING gin (tenant_id, fold_name(
        ((((((coalesce(first_name, '') || ' ') || coalesce(last_name, '')) || ' ') || lead_id) || ' ')
            || coalesce(email, ''))) gin_trgm_ops)"""
}


def upgrade() -> None:
    op.execute(ADD_FUNCTION_SQL)
    _get_script("0019").replace_indexes(_get_old_indexes(), NEW_INDEXES)


def downgrade() -> None:
    _get_script("0019").replace_indexes(NEW_INDEXES, _get_old_indexes())
    op.execute("DROP FUNCTION fold_name")


def _get_old_indexes() -> dict[str, str]:
    return {"ix_leads_folded": _get_script("0019").NEW_INDEXES["ix_leads_folded"]}


def _get_script(number: str):  # type: ignore[no-untyped-def]
    return context.script.get_revision(number).module
