"""Identifiers: a prefix that tells the kind, and a UUIDv7 that tells the age.

Made in Python, so that every supported PostgreSQL serves, and so that a batch may be
tried again under the same ids. Base32 with the extended hex alphabet keeps the order of
the bytes: sorting ids sorts by time of making.
"""

import os
import re
import time
from datetime import datetime
from typing import Literal

IdKind = Literal[
    "lead",
    "campaign",
    "int",
    "msg",
    "smsagent",
    "org",
    "turn",
    "num",
    "acct",
    "key",
    "user",
    "bulk",
    "evt",
    "canned",
]

DIGITS = "0123456789abcdefghijklmnopqrstuv"
DIGIT_PAIRS = [high + low for high in DIGITS for low in DIGITS]
PAIR_SHIFTS = range(120, -1, -10)
"""Of the pairs in 130 bits: an id's 128, and two noughts."""

CALLER_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""Lead and campaign ids may come from the caller's own system (contract 2)."""


def make(kind: IdKind) -> str:
    """A new id such as `msg_068b1q…`: 26 characters of base32hex after the prefix."""
    noise = bytearray(os.urandom(10))
    noise[0] = 0x70 | noise[0] & 0x0F
    noise[2] = 0x80 | noise[2] & 0x3F
    return _encode_id(kind, time.time_ns() // 1_000_000, noise)


def first_since(kind: IdKind, at: datetime) -> str:
    """What no id made before `at` reaches: a key's range by it is a range of time."""
    return _encode_id(kind, int(at.timestamp() * 1000), bytes(10))


def _encode_id(kind: IdKind, milliseconds: int, noise: bytes | bytearray) -> str:
    # As base64.b32hexencode without its padding, at half the price: a bulk makes 2,000.
    bits = int.from_bytes(milliseconds.to_bytes(6, "big") + noise, "big") << 2
    return f"{kind}_{''.join([DIGIT_PAIRS[bits >> shift & 1023] for shift in PAIR_SHIFTS])}"
