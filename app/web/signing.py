"""Signing secrets of webhooks, as in Standard Webhooks: they are stored sealed, and shown once."""

import base64
import os
from dataclasses import dataclass, field
from typing import TypeVar

from app.access.sealing import Seal
from app.web.envelope import Answer, Out
from app.web.idempotency import Idempotency

M = TypeVar("M", bound=Out)
ONCE_SHOWN = "signingSecret"


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A new secret, to be shown, and as it is stored."""

    text: str = field(repr=False)
    sealed: bytes = field(repr=False)


def make_signing_secret(seal: Seal) -> SigningSecret:
    """Returns `whsec_` and base64 of 32 random bytes."""
    text = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    return SigningSecret(text, seal.close(text.encode()))


async def answer_with_secret(idempotency: Idempotency, data: M, status: int) -> Answer[M]:
    """The answer that shows the secret. A repeat of the request gets it without."""
    return await idempotency.store_answer(Answer(data=data), status, secret=[ONCE_SHOWN])
