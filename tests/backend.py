"""A tenant's backend as a double at the wire: it takes events, checks their signatures, and remembers them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.makers import Data
from tests.world import served


@dataclass(frozen=True, slots=True)
class Post:
    """One request that the backend got."""

    headers: dict[str, str]
    body: bytes
    status: int
    """What it was answered."""

    @property
    def event(self) -> Data:
        event: Data = json.loads(self.body)
        return event

    def require_signature(self, secret: str) -> None:
        Webhook(secret).verify(self.body, self.headers)


@dataclass(slots=True)
class Backend:
    """`decide` gives the status of each answer; it may wait. None: 204."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    decide: Callable[[Data], Awaitable[int]] | None = None

    async def take(self, request: Request) -> Response:
        body = await request.body()
        status = await self.decide(json.loads(body)) if self.decide else 204
        self.posts.append(Post(dict(request.headers), body, status))
        return Response(status_code=status)

    @property
    def taken(self) -> list[Data]:
        """The events that it answered with 2xx, in order."""
        return [post.event for post in self.posts if post.status < 300]

    def types_of(self, interaction_id: str | None) -> list[str]:
        return [event["type"] for event in self.taken if event["interactionId"] == interaction_id]


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    double = Backend()
    async with served(Starlette(routes=[Route("/hear", double.take, methods=["POST"])])) as url:
        double.url = f"{url}/hear"
        yield double


def refuse_some(refuses: Callable[[Data], bool], status: int = 503) -> Callable[[Data], Awaitable[int]]:
    async def decide(event: Data) -> int:
        await asyncio.sleep(0)
        return status if refuses(event) else 204

    return decide
