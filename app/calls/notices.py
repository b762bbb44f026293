"""Tell people: by e-mail, and by a webhook that takes what Slack's take."""

from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

import httpx

from app.wire.client import AnswerLost, NotSent, Wire
from app.wire.mail import MailClient, MailFailed

POST_SECONDS = 15.0
MAX_ANSWER_BYTES = 1024
SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""What Slack reads as a link or a mention."""


class NotTold(Exception):
    """The person was not told, or nobody knows. The words say why."""


async def send_mail(mail: MailClient, to: str, subject: str, lines: Sequence[str], digest_id: str) -> None:
    """Sends an e-mail. The same digest has the same Message-ID, so that mail programs show it once. Raises
    `NotTold`."""
    try:
        await mail.send(_build_message(mail.sender, to, subject, lines, digest_id))
    except (MailFailed, ValueError) as error:
        raise NotTold(str(error)) from error


def _build_message(sender: str, to: str, subject: str, lines: Sequence[str], digest_id: str) -> EmailMessage:
    """Raises `ValueError` for an address or subject with a line break."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    headers = {
        "From": sender,
        "To": to,
        "Subject": subject,
        "Date": formatdate(),
        "Message-ID": f"<{digest_id}@{domain}>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMessage(SMTP)
    for name, value in headers.items():
        message[name] = value
    message.set_content("\n\n".join([*lines, "You chose these notices under “Account”."]) + "\n")
    return message


async def post_to_hook(wire: Wire, url: str, lines: Sequence[str]) -> None:
    """POSTs the lines as one message. Any 2xx takes it. Raises `NotTold`."""
    text = "\n".join(line.translate(SLACK_ESCAPES) for line in lines)
    try:
        request = httpx.Request("POST", url, json={"text": text})
        response = await wire.exchange(request, POST_SECONDS, MAX_ANSWER_BYTES)
    except (NotSent, AnswerLost, httpx.InvalidURL) as error:
        raise NotTold(str(error)) from error
    if not response.is_success:
        raise NotTold(f"the webhook answered {response.status_code}")
