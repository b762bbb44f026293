"""A mail server as a double at the wire: it takes messages and remembers them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(slots=True)
class MailServerDouble:
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    is_broken: bool = False

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def texts_to(self, address: str) -> list[str]:
        return [message.get_content() for message in self.messages if message["To"] == address]

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            match line.split(b":")[0].strip().upper().split(b" ")[0]:
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    writer.write(self._take(content[:-5]))
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case b"RCPT":
                    self.recipients.append(line.decode())
                    writer.write(b"250 ok\r\n")
                case _:
                    writer.write(b"250 ok\r\n")
        writer.close()

    def _take(self, content: bytes) -> bytes:
        if self.is_broken:
            return b"451 not now\r\n"
        self.messages.append(message_from_bytes(content.replace(b"\r\n..", b"\r\n."), policy=policy.default))
        return b"250 taken\r\n"


@asynccontextmanager
async def taking_mail() -> AsyncIterator[MailServerDouble]:
    double = MailServerDouble()
    server = await asyncio.start_server(double.hear, "127.0.0.1", 0)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
