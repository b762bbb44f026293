"""Whether a carrier can reach an address of ours: by what the address says, without asking anybody."""

from ipaddress import ip_address
from urllib.parse import urlsplit

HOME_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".example", ".invalid")
"""Names that are not in the public DNS."""


def find_reach_fault(url: str) -> str | None:
    """Why carriers cannot post to the address, or should not; None: nothing speaks against it."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not _is_public_host(host):
        return f"Carriers cannot reach {host or 'it'}: it is an address of this machine or of a private network."
    if parts.scheme != "https":
        return "Carriers would send texts over http, where anybody in between can read them. Most refuse to."
    return None


def _is_public_host(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(HOME_ENDINGS)
