"""A busy subject does not hold up its endpoint, and new leads name their client

Revision ID: 0028
Revises: 0027
Created: 2026-11-29
"""

import re
from pathlib import Path
from typing import Any

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

UP_FILE = Path(__file__).with_suffix(".sql")
FORMER_FILE = Path(__file__).with_name("0021_20261129_webhook_endpoints.sql")
FUNCTION = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION (tell_\w+)\(\).*?END \$\$;", re.DOTALL)


def upgrade() -> None:
    _run(UP_FILE.read_text())


def downgrade() -> None:
    changed = {found[1] for found in FUNCTION.finditer(UP_FILE.read_text())}
    for found in FUNCTION.finditer(FORMER_FILE.read_text()):
        if found[1] in changed:
            _run(re.sub("^CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", found[0]))
    _run("DROP TABLE webhook_backlogs")


def _run(script: str) -> None:
    # The driver itself runs it: through SQLAlchemy it would take one statement at a time.
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))
