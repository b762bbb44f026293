"""Two roles and row-level security

`app_tenant` sees one tenant, the one named in `app.tenant`; `app_system` runs the closed list
of statements that serve many. Roles belong to the whole cluster, so they may exist already,
and the migrating role may lack CREATEROLE: then the service runs as one role, the owner,
which FORCE would lock out of its own tables; it says so in a warning at its start.

Revision ID: 0002
Revises: 0001
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['app_tenant', 'app_system'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
        END;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN NULL;
        END;
    END LOOP;
END $$
"""

TRY_ROLES = """
DO $$
BEGIN
    SET LOCAL ROLE app_tenant;
    SET LOCAL ROLE app_system;
    RESET ROLE;
    PERFORM set_config('app.two_roles', 'yes', true);
EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN
    PERFORM set_config('app.two_roles', 'no', true);
END $$
"""
# Tried and not looked up: since PostgreSQL 16 a member need not be allowed to SET ROLE.

TENANT_TABLES = """
SELECT c.relname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
ORDER BY c.relname
"""

MINE = "tenant_id = nullif(current_setting('app.tenant', true), '')"
# After a transaction the setting is '' and not NULL: without nullif '' would be a tenant.


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(ROLES)
    op.execute(TRY_ROLES)
    two_roles = connection.scalar(sa.text("SELECT current_setting('app.two_roles') = 'yes'"))
    schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
    tables = list(connection.scalars(sa.text(TENANT_TABLES)))
    for table in tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} USING ({MINE}) WITH CHECK ({MINE})")
        if two_roles:
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY system ON {table} TO app_system USING (true)")
            op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO app_tenant, app_system")
    if two_roles:
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO app_tenant, app_system")
        op.execute("GRANT SELECT, INSERT, UPDATE ON installation TO app_system")


def downgrade() -> None:
    for table in op.get_bind().scalars(sa.text(TENANT_TABLES)):
        op.execute(f"DROP POLICY IF EXISTS system ON {table}")
        op.execute(f"DROP POLICY IF EXISTS tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    # The roles stay: another database of the cluster may use them.
    op.execute("""
        DO $$ BEGIN
            REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app_tenant, app_system;
        EXCEPTION WHEN undefined_object THEN NULL;
        END $$
    """)
