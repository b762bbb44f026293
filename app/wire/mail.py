"""Send e-mail through the operator's mail server.

The standard library speaks SMTP, in threads of its own: those of the event loop also resolve the names of
carriers, and a slow mail server must not hold them. The server's address comes from the environment, so
no guard is asked for it (docs/decisions/0038-people-are-told-by-cursors.md).
"""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
STEP_SECONDS = 10.0
"""For each answer of the server."""
DEADLINE_SECONDS = 20.0
THREADS = 4


class MailFailed(Exception):
    """The message was not taken, or nobody knows. The words are for the person who waits for it."""


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    encryption: Literal["tls", "starttls", "none"]
    """`tls`: from the first byte. `none`: only for a server on this machine."""
    username: str = ""
    password: str = ""


def read_server(url: str) -> MailServer:
    """The server of `smtp://user:password@host:587` or `smtps://…`. Raises `ValueError`, which does not
    repeat the address: it has a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("must be smtp://… or smtps://…") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be smtp://user:password@host:587 or smtps://user:password@host:465")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have a user and a password, or neither")
    return MailServer(
        parts.hostname,
        port or PORTS[parts.scheme],
        "tls" if parts.scheme == "smtps" else "none" if _is_local(parts.hostname) else "starttls",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class MailClient:
    """One for each process."""

    def __init__(self, server: MailServer, sender: str) -> None:
        self.sender = sender
        self._server = server
        self._threads = ThreadPoolExecutor(THREADS, "mail")

    async def send(self, message: EmailMessage) -> None:
        """Sends the message to its `To`. Raises `MailFailed`."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._threads, _send, self._server, message)
        except (smtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            raise MailFailed(_describe_failure(error)) from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _send(server: MailServer, message: EmailMessage) -> None:
    context = ssl.create_default_context()
    smtp = (
        smtplib.SMTP_SSL(server.host, server.port, timeout=STEP_SECONDS, context=context)
        if server.encryption == "tls"
        else smtplib.SMTP(server.host, server.port, timeout=STEP_SECONDS)
    )
    try:
        if server.encryption == "starttls":
            smtp.starttls(context=context)
        if server.username:
            smtp.login(server.username, server.password)
        smtp.send_message(message)
    finally:
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
        smtp.close()


def _describe_failure(error: Exception) -> str:
    """In plain words, without what the server said: it may name its users."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return "the mail server refused our user or password"
        case smtplib.SMTPNotSupportedError():
            return "the mail server lacks STARTTLS, or a sign-in, or letters of the address"
        case smtplib.SMTPRecipientsRefused():
            return "the mail server refused the address"
        case smtplib.SMTPSenderRefused():
            return "the mail server refused the sender"
        case smtplib.SMTPResponseException():
            return f"the mail server answered {error.smtp_code}"
        case ssl.SSLError():
            return "the TLS certificate of the mail server is not valid"
        case TimeoutError():
            return "the mail server did not answer in time"
        case smtplib.SMTPException():
            return "the mail server closed the connection"
        case OSError():
            return "the mail server could not be reached"
    return "the address is not valid"
