"""Searches find a letter in each of its forms: İ and i̇, ǰ and J̌, ᾳ and ΑΙ

The indexes are built anew beside all traffic; if that is interrupted, run the migration again. Ten
million texts take ten to thirty minutes. Until then a text with one of these letters may not be found.

Revision ID: 0027
Revises: 0026
Created: 2026-11-29
"""

from collections.abc import Sequence

from alembic import context, op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

NEXT_STEP_SQL = "t := regexp_replace(replace(t, 'ß', 'ss')"
"""What the function does when case is folded."""
FOLD_FORMS_SQL = r"""-- Letters that have their capital, or their small letter, only as a letter with a mark or as two
        -- letters. Turkish has an i with a dot and one without, and their other case is the plain i of
        -- everybody else: so each i is the same letter, and a dot that stands alone is dropped.
        IF t ~ '[ı\u0307\u0308\u030A\u030C\u0331\u1F80-\u1FFC]|ß[\u0300-\u036F]' THEN
            t := translate(normalize(replace(t, 'ß', 'ss'), NFKC), U&'\0131\0307', 'i');
            t := normalize(replace(normalize(t, NFKD), U&'\0345', 'ι'), NFKC);
        END IF;
        """
FOLDED_INDEXES = ("ix_messages_folded", "ix_leads_folded")


def upgrade() -> None:
    op.execute(build_function_sql())
    build_indexes_anew(FOLDED_INDEXES)


def downgrade() -> None:
    op.execute(build_former_function_sql())
    build_indexes_anew(FOLDED_INDEXES)


def build_function_sql() -> str:
    former_function_sql = build_former_function_sql()
    assert NEXT_STEP_SQL in former_function_sql
    return former_function_sql.replace(NEXT_STEP_SQL, FOLD_FORMS_SQL + NEXT_STEP_SQL)


def build_former_function_sql() -> str:
    """The function with its tables, which the migration that made it holds."""
    function_sql: str = context.script.get_revision("0019").module.build_function_sql()
    return function_sql


def build_indexes_anew(names: Sequence[str]) -> None:
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name in names:
            for leftover in (f"{name}_ccnew", f"{name}_ccold"):  # of an interrupted attempt
                op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {leftover}")
            op.execute(f"REINDEX INDEX CONCURRENTLY {name}")
        op.execute("SET statement_timeout = '10min'")
