"""Routers that are asked only for paths which may be theirs."""

from os.path import commonpath

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Area(APIRouter):
    """The routes of a router, for paths that begin as all of them do. The framework compares a path with one route
    after the other: with nearly 300 of them that takes a millisecond."""

    def __init__(self, router: APIRouter) -> None:
        super().__init__()
        self.include_router(router)
        paths = [str(getattr(route, "path", "")) for route in router.routes]
        self._beginning = commonpath([path.partition("{")[0] for path in paths])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return super().matches(scope) if path.startswith(self._beginning) else (Match.NONE, {})
