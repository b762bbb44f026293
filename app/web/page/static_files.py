"""Styles, scripts and the icon: compressed once, and cached by browsers for ever."""

import gzip
import hashlib
import os
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB_FOLDER = Path(__file__).parents[1]
STATIC_FOLDER = WEB_FOLDER / "static"
COPIED_HEADERS = ("etag", "last-modified", "content-type")


class Static(StaticFiles):
    """Browsers may cache a file for ever, because its address has a digest of the content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse) and accepts_gzip(Headers(scope=scope)):
            headers = {name: response.headers[name] for name in COPIED_HEADERS}
            response = Response(_compress_file(os.fspath(response.path)), headers=headers | COMPRESSED_HEADERS)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


COMPRESSED_HEADERS = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def accepts_gzip(headers: Headers) -> bool:
    return "gzip" in headers.get("accept-encoding", "")


@cache
def _compress_file(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)


@cache
def get_static_url(name: str) -> str:
    """Returns the address of a static file, with a digest of its content."""
    digest = hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"
