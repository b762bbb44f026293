"""Threads are found fast among a million: by campaign and status, name, phone and words

What every send writes gets fewer indexes (a thread's row moves in all of them): one serves the
lead's phone and the pair, one the campaign with and without a status. What is rarely written
gets those of the search. A text's status is in no index any more, so that its steps are written
in place.

Revision ID: 0010
Revises: 0009
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NAME = "(((COALESCE(first_name, '') || ' ') || COALESCE(last_name, '')) || ' ') || lead_id"
OFTEN = ("interactions", "leads", "messages", "outbox", "phone_numbers")
"""Rows that are written again soon: room on their page keeps them there."""


def upgrade() -> None:
    # Both are trusted: whoever may create in the database may install them.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    op.create_unique_constraint(
        "uq_interactions_tenant_id_lead_phone_our_number", "interactions",
        ["tenant_id", "lead_phone", "our_number"],
    )  # fmt: skip
    op.drop_constraint("uq_interactions_tenant_id_our_number_lead_phone", "interactions")
    op.drop_index("ix_interactions_tenant_id_lead_phone", "interactions")
    op.drop_index("ix_interactions_tenant_id_lead_id_last_message_at", "interactions")
    op.create_index("ix_interactions_tenant_id_lead_id", "interactions", ["tenant_id", "lead_id"])
    op.drop_index("ix_interactions_tenant_id_campaign_id_last_message_at", "interactions")
    op.create_index(
        "ix_interactions_tenant_id_campaign_id_status_last_message_at", "interactions",
        ["tenant_id", "campaign_id", "status", "last_message_at"],
    )  # fmt: skip
    op.create_index(
        "ix_interactions_unread", "interactions",
        ["tenant_id", "last_message_at", "interaction_id"],
        postgresql_where=sa.text("unread_count > 0"),
    )  # fmt: skip
    op.execute(f"CREATE INDEX ix_leads_name ON leads USING gin (tenant_id, ({NAME}) gin_trgm_ops)")
    op.execute("CREATE INDEX ix_leads_phone_end ON leads (tenant_id, reverse(phone))")
    op.execute("""
        CREATE INDEX ix_messages_words ON messages
        USING gin (tenant_id, to_tsvector('simple'::regconfig, text))""")
    op.drop_index("ix_messages_unknown", "messages")
    op.create_index(
        "ix_messages_unknown", "messages", ["tenant_id", "message_id"],
        postgresql_where=sa.text("error_code = 'OUTCOME_UNKNOWN'"),
    )  # fmt: skip
    for table in OFTEN:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 85)")


def downgrade() -> None:
    for table in OFTEN:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.drop_index("ix_messages_unknown", "messages")
    op.create_index(
        "ix_messages_unknown", "messages", ["tenant_id", "message_id"],
        postgresql_where=sa.text("status = 'unknown'"),
    )  # fmt: skip
    op.drop_index("ix_messages_words", "messages")
    op.drop_index("ix_leads_phone_end", "leads")
    op.drop_index("ix_leads_name", "leads")
    op.drop_index("ix_interactions_unread", "interactions")
    op.drop_index("ix_interactions_tenant_id_campaign_id_status_last_message_at", "interactions")
    op.create_index(
        "ix_interactions_tenant_id_campaign_id_last_message_at", "interactions",
        ["tenant_id", "campaign_id", "last_message_at"],
    )  # fmt: skip
    op.drop_index("ix_interactions_tenant_id_lead_id", "interactions")
    op.create_index(
        "ix_interactions_tenant_id_lead_id_last_message_at", "interactions",
        ["tenant_id", "lead_id", "last_message_at"],
    )  # fmt: skip
    op.create_index("ix_interactions_tenant_id_lead_phone", "interactions", ["tenant_id", "lead_phone"])
    op.create_unique_constraint(
        "uq_interactions_tenant_id_our_number_lead_phone", "interactions",
        ["tenant_id", "our_number", "lead_phone"],
    )  # fmt: skip
    op.drop_constraint("uq_interactions_tenant_id_lead_phone_our_number", "interactions")
    # The extensions stay: something else of the database may use them.
