"""Signing secrets of webhooks, as in Standard Webhooks."""

import base64
import os


def make_signing_secret() -> str:
    """Returns a new secret: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()
