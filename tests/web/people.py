"""A person at the page: a browser's cookies, forms and Origin, without the browser."""

import re
from dataclasses import dataclass
from html import unescape

import httpx

from app.access import passwords, sessions
from app.demo import http_clients
from app.domain import ids
from app.resources import Resources
from app.store import access, tenants
from app.web.page import dependencies

PASSWORD = "correct horse battery"
_hashes: dict[str, str] = {}
"""Made once: they are slow on purpose."""


@dataclass(frozen=True, slots=True)
class Browser:
    """Follows no redirect by itself, so that tests see each answer."""

    http: httpx.AsyncClient
    origin: str

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def page(self, path: str) -> str:
        answer = await self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.text

    async def post(self, path: str, **fields: str | list[str]) -> httpx.Response:
        return await self.http.post(path, data=fields, headers={"Origin": self.origin})

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.post("/sign-in", email=email, password=password)

    async def enter(self, resources: Resources, email: str) -> None:
        """Signs the person in without the password, whose hash takes a tenth of a second."""
        async with resources.database.system_tx() as tx:
            person = await access.get_person(tx, email)
            assert person
            token = await sessions.begin(tx, person.tenant_id, person.user_id)
        host = str(self.http.base_url.host)
        self.http.cookies.set(dependencies.get_cookie_name(resources), token, domain=host, path="/")

    async def submit(self, page: str, action_ends: str, **fields: str | list[str]) -> httpx.Response:
        """The page's form whose action's path ends so, with its hidden fields."""
        action, hidden = form(page, action_ends)
        return await self.post(action, **(hidden | fields))


def browser(origin: str) -> Browser:
    return Browser(http_clients.build_client(base_url=origin, timeout=10), origin)


def form(page: str, action_ends: str) -> tuple[str, dict[str, str]]:
    for found in re.finditer(r'<form\b[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page, re.S):
        action = unescape(found[1])
        if action.split("?")[0].endswith(action_ends):
            hidden = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', found[2])
            return action, {name: unescape(value) for name, value in hidden}
    raise AssertionError(f"no form for {action_ends}")


async def add_person(resources: Resources, tenant_id: str, email: str) -> str:
    password_hash = _hashes.get(PASSWORD) or await passwords.hash_password(PASSWORD)
    _hashes[PASSWORD] = password_hash
    async with resources.database.system_tx() as tx:
        user_id = await tenants.add_user(tx, tenant_id, ids.make("user"), email, password_hash)
    assert user_id
    return user_id
