"""Sealing: what is closed opens only under a listed key, and only unchanged."""

import os

import pytest

from app.access.sealing import Seal, Unsealable

OLD, NEW = os.urandom(32), os.urandom(32)


def test_what_was_closed_opens() -> None:
    seal = Seal([NEW])
    sealed = seal.close(b"secret")
    assert b"secret" not in sealed
    assert seal.open(sealed) == b"secret"


def test_the_same_words_never_look_the_same() -> None:
    seal = Seal([NEW])
    assert seal.close(b"secret") != seal.close(b"secret")


def test_after_a_rotation_old_secrets_open_and_new_ones_use_the_new_key() -> None:
    before = Seal([OLD]).close(b"secret")
    rotated = Seal([NEW, OLD])
    assert rotated.open(before) == b"secret"
    assert Seal([NEW]).open(rotated.close(b"fresh")) == b"fresh"


def test_a_key_that_is_not_listed_opens_nothing() -> None:
    with pytest.raises(Unsealable):
        Seal([NEW]).open(Seal([OLD]).close(b"secret"))


@pytest.mark.parametrize("place", [0, 3, 10, 20, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    seal = Seal([NEW])
    sealed = bytearray(seal.close(b"secret"))
    sealed[place] ^= 1
    with pytest.raises(Unsealable):
        seal.open(bytes(sealed))


@pytest.mark.parametrize("junk", [b"", b"\x01", b"plain text", bytes(range(64))])
def test_what_was_never_sealed_does_not_open(junk: bytes) -> None:
    with pytest.raises(Unsealable):
        Seal([NEW]).open(junk)


def test_named_words_are_sealed_together() -> None:
    seal = Seal([NEW])
    words = {"accountSid": "AC1", "authToken": "naïve ✓"}
    assert seal.open_words(seal.close_words(words)) == words


def test_a_seal_needs_a_key() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Seal([])
