"""Colleagues in a note: how `@jane` names a person, and the colour by which a person is known."""

import re
from collections.abc import Iterable
from typing import Protocol
from zlib import crc32

MENTION_PATTERN = re.compile(r"(?<![\w@.])@([\w.+-]+(?:@[\w-]+(?:\.[\w-]+)+)?)")
COLORS = (
    "#b3261e", "#a04a00", "#7a5c00", "#4d6b00", "#1b7340", "#00706b",
    "#006a8e", "#1f5fbf", "#4a4fc4", "#7440b8", "#98309b", "#a82b67",
)  # fmt: skip
"""Each has a contrast of 4.5 or more with white; `team.css` has the same."""


class Mentionable(Protocol):
    @property
    def user_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...


def find_mentions(text: str, people: Iterable[Mentionable]) -> list[str]:
    """The ids of those whom the text mentions: by the e-mail or what stands before its @, by the name without
    spaces, or by its first word. A word that fits several people mentions each of them."""
    words = {word.rstrip(".-").casefold() for word in MENTION_PATTERN.findall(text)}
    return [person.user_id for person in people if words and words & _list_handles(person)]


def _list_handles(person: Mentionable) -> set[str]:
    email, name = person.email.casefold(), person.name.casefold().split()
    return {email, email.partition("@")[0], "".join(name), *name[:1]}


def get_color_number(user_id: str) -> int:
    """The same for one person everywhere and always."""
    return crc32(user_id.encode()) % len(COLORS)


def get_color(user_id: str) -> str:
    return COLORS[get_color_number(user_id)]
