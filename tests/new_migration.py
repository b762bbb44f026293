"""`make migration M="what changes"`: the next migration, filled with what `app/store/schema/`
holds more than a migrated database does; empty where no database can be had."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from app import embedded
from app.operations.migrations import migrate_to_head

ROOT = Path(__file__).parents[1]


def main() -> None:
    message = " ".join(sys.argv[1:])
    config = Config(ROOT / "alembic.ini")
    with tempfile.TemporaryDirectory(prefix="leadsail-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's own account must reach its folder below
        try:
            server = embedded.serve_postgres(folder, durable=False)
        except embedded.EmbeddedError as error:
            print(f"{error}: the migration is left empty", file=sys.stderr)
            write_migration(config, message)
            return
        with server:
            migrate_to_head(server.url)
            write_migration(config, message, server.url)


def write_migration(config: Config, message: str, migrated_url: str | None = None) -> Script:
    """Writes the migration that follows the newest one, with what the database at `migrated_url`
    lacks."""
    if migrated_url:
        config.set_main_option("sqlalchemy.url", migrated_url.replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head() or "0"
    written = command.revision(config, message, autogenerate=bool(migrated_url), rev_id=f"{int(head) + 1:04}")
    assert isinstance(written, Script)
    return written


if __name__ == "__main__":
    main()
