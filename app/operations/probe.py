"""`python -m app.operations.probe`: whether the process of this container lives, web or worker.

Run every few seconds, so it imports nothing of the service.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

PROBE_SECONDS = 2.0


def is_alive(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    # A container runs one of the two, and both may have both variables.
    ports = [os.environ.get("PORT") or "8000", os.environ.get("METRICS_PORT")]
    sys.exit(not any(is_alive(int(port)) for port in ports if port))
