"""E-mail leaves encrypted, or to this machine, or not at all."""

from dataclasses import replace
from email.message import EmailMessage

import pytest

from app.wire.mail import MailClient, MailFailed, MailServer, read_server
from tests.mail_server import taking_mail


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", MailServer("mail.example.com", 587, "starttls")),
        ("smtps://mail.example.com", MailServer("mail.example.com", 465, "tls")),
        ("smtp://me%40x.org:p%3Aw@mail.example.com:2525",
         MailServer("mail.example.com", 2525, "starttls", "me@x.org", "p:w")),
        ("smtp://localhost:25", MailServer("localhost", 25, "none")),
        ("smtp://127.0.0.1:25", MailServer("127.0.0.1", 25, "none")),
        ("smtp://[::1]:25", MailServer("::1", 25, "none")),
        ("smtp://127.example.com", MailServer("127.example.com", 587, "starttls")),
    ],
)  # fmt: skip
def test_an_address_says_how_the_server_is_spoken_to(url: str, server: MailServer) -> None:
    assert read_server(url) == server


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://h:port", "smtp://me@h", "smtp://h/x"],
)
def test_an_address_that_names_no_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        read_server(url)
    assert "port" not in str(refusal.value)


async def send(server: MailServer) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "a@example.com", "b@example.com"
    message.set_content("Hello")
    client = MailClient(server, "a@example.com")
    try:
        await client.send(message)
    finally:
        client.close()


async def test_a_message_is_taken() -> None:
    async with taking_mail() as double:
        await send(read_server(double.url))
    assert [message["To"] for message in double.messages] == ["b@example.com"]


async def test_without_starttls_nothing_leaves_for_another_machine() -> None:
    async with taking_mail() as double:
        with pytest.raises(MailFailed, match="STARTTLS"):
            await send(replace(read_server(double.url), encryption="starttls"))
    assert (double.messages, double.recipients) == ([], [])


async def test_a_password_is_not_told_to_a_server_that_asks_for_none() -> None:
    async with taking_mail() as double:
        with pytest.raises(MailFailed, match="lacks"):
            await send(replace(read_server(double.url), username="me", password="pw"))
    assert double.messages == []


async def test_a_server_that_is_not_there_is_said_to_be_away() -> None:
    async with taking_mail() as double:
        gone = read_server(double.url)
    with pytest.raises(MailFailed, match="could not be reached"):
        await send(gone)
