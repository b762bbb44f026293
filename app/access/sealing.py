"""Encrypts secrets at rest with AES-256-GCM; the sealed bytes contain the id of the key.

Layout: 1 byte version, 4 bytes key id, 12 bytes nonce, then ciphertext and tag. The newest key
encrypts; every key of the list decrypts, so keys can be rotated.
"""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.domain.carriage import Account

VERSION = b"\x01"
ID_BYTES, NONCE_BYTES = 4, 12
HEAD_BYTES = len(VERSION) + ID_BYTES


class SealedAccount(Protocol):
    """The columns of a row that make an `Account`."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def credentials(self) -> bytes: ...
    @property
    def base_url(self) -> str | None: ...


class Unsealable(Exception):
    """The bytes were sealed under a key that we do not have, or were changed."""


class Seal:
    """Seals and opens secrets. `keys`: 32 bytes each, newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("at least one sealing key is needed")
        self._keys = {_key_id(key): AESGCM(key) for key in reversed(keys)}
        self._newest = _key_id(keys[0])

    def close(self, plain: bytes) -> bytes:
        """Seals `plain` under the newest key."""
        nonce, head = os.urandom(NONCE_BYTES), VERSION + self._newest
        return head + nonce + self._keys[self._newest].encrypt(nonce, plain, head)

    def open(self, sealed_bytes: bytes) -> bytes:
        """Opens sealed bytes. Raises `Unsealable`."""
        head, nonce = sealed_bytes[:HEAD_BYTES], sealed_bytes[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES]
        key = self._keys.get(head[len(VERSION) :])
        if key is None or head[: len(VERSION)] != VERSION:
            raise Unsealable("sealed under a key that is not among SECRET_KEYS")
        try:
            return key.decrypt(nonce, sealed_bytes[HEAD_BYTES + NONCE_BYTES :], head)
        except (InvalidTag, ValueError):
            raise Unsealable("the sealed bytes were changed") from None

    def is_newest(self, sealed_bytes: bytes) -> bool:
        """Whether the bytes were sealed under the newest key."""
        return sealed_bytes[len(VERSION) : HEAD_BYTES] == self._newest

    def close_words(self, words: Mapping[str, str]) -> bytes:
        """Seals named strings (credentials) together."""
        return self.close(json.dumps(dict(words)).encode())

    def open_words(self, sealed_bytes: bytes) -> dict[str, str]:
        """Opens what `close_words` sealed. Raises `Unsealable`."""
        words: dict[str, str] = json.loads(self.open(sealed_bytes))
        return words

    def open_account(self, row: SealedAccount) -> Account:
        """Builds an `Account` with open credentials from its row. Raises `Unsealable`."""
        credentials = self.open_words(row.credentials)
        return Account(row.tenant_id, row.account_id, row.provider, credentials, row.base_url)


def _key_id(key: bytes) -> bytes:
    return sha256(b"sealing key" + key).digest()[:ID_BYTES]
