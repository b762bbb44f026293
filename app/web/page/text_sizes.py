"""How large a person reads. It is kept in the browser and not with the person: a phone and a large screen differ."""

from typing import Literal, get_args

from fastapi import Request
from starlette.responses import Response

TextSize = Literal["usual", "large", "largest"]
SIZE_WORDS: dict[TextSize, str] = {"usual": "Usual", "large": "Large", "largest": "Largest"}
TEXT_SIZE_COOKIE = "text-size"
COOKIE_SECONDS = 400 * 24 * 3600
"""Browsers keep a cookie no longer."""


def get_text_size(request: Request) -> TextSize:
    size = request.cookies.get(TEXT_SIZE_COOKIE)
    return next((known_size for known_size in get_args(TextSize) if known_size == size), "usual")


def set_text_size(answer: Response, size: TextSize, *, secure: bool) -> None:
    """Sets the cookie. `secure`: it is sent with https only."""
    answer.set_cookie(TEXT_SIZE_COOKIE, size, max_age=COOKIE_SECONDS, secure=secure, httponly=True, samesite="lax")
