"""A search of texts finds words with or without their accents, as a search of names does

The indexes are built beside all traffic; if that is interrupted, run the migration again. Ten million
texts take ten to thirty minutes. Until then a text with accents may not be found.

Revision ID: 0042
Revises: 0041
Created: 2026-11-29
"""

from alembic import context, op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

UNIFY_SQL = 'NFKC) COLLATE "C");\n        IF t ~ \'['
"""The end of the step that unifies the forms of characters."""
WITHOUT_ACCENTS_SQL = r"""NFKD) COLLATE "C");
        -- Letters without their accents, but for the Greek iota below, which becomes a letter of its own, as
        -- capitals have it. Some letters have no accent that could be taken off.
        t := regexp_replace(t, '[\u0300-\u0344\u0346-\u036F]', '', 'g');
        t := normalize(translate(t, 'øØłŁđĐħĦ', 'oollddhh'), NFKC);
        IF t ~ '["""
FOLD_NAME_SQL = """
CREATE OR REPLACE FUNCTION fold_name(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN fold_text(t)
"""
"""For the code of the last release. PostgreSQL puts `fold_text` in its place, so the new index serves it."""
NEW_INDEXES = {
    "ix_leads_folded": """leads USING gin (tenant_id, fold_text(
        ((((((coalesce(first_name, '') || ' ') || coalesce(last_name, '')) || ' ') || lead_id) || ' ')
            || coalesce(email, ''))) gin_trgm_ops)"""
}


def upgrade() -> None:
    op.execute(build_function_sql())
    op.execute(FOLD_NAME_SQL)
    _get_script("0019").replace_indexes(_get_script("0036").NEW_INDEXES, NEW_INDEXES)
    _get_script("0027").build_indexes_anew(["ix_messages_folded"])


def downgrade() -> None:
    op.execute(_get_script("0027").build_function_sql())
    op.execute(_get_script("0036").ADD_FUNCTION_SQL)
    _get_script("0019").replace_indexes(NEW_INDEXES, _get_script("0036").NEW_INDEXES)
    _get_script("0027").build_indexes_anew(["ix_messages_folded"])


def build_function_sql() -> str:
    former_function_sql: str = _get_script("0027").build_function_sql()
    assert former_function_sql.count(UNIFY_SQL) == 1
    return former_function_sql.replace(UNIFY_SQL, WITHOUT_ACCENTS_SQL)


def _get_script(number: str):  # type: ignore[no-untyped-def]
    return context.script.get_revision(number).module
