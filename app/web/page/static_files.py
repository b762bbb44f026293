"""Styles, scripts and the icon: read and compressed once, and cached for ever by browsers that ask by digest."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB_FOLDER = Path(__file__).parents[1]
STATIC_FOLDER = WEB_FOLDER / "static"
BUNDLES = {
    "page.css": ("page.css", "print.css"),
    "common.js": ("choose.js", "palette.js", "page.js"),
    "inbox.js": (
        "segments.js",
        "attach.js",
        "merge.js",
        "transcript.js",
        "emoji.js",
        "tools.js",
        "compose.js",
        "places.js",
        "find.js",
        "live.js",
        "pulse.js",
    ),
    "inbox.css": ("team.css", "composer.css"),
}
"""Files that a page always needs together, each with its parts in order: a browser that begins asks for few."""
COMPRESSED_HEADERS = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    compressed_content: bytes
    media_type: str | None
    digest: str

    def build_headers(self, asked_digest: str) -> dict[str, str]:
        """Browsers may cache it for ever if its address has the digest of its content. While releases change, a
        page of one may ask a process of the other, which has other content."""
        caching = "public, max-age=31536000, immutable" if asked_digest == self.digest else "no-cache"
        return {"ETag": f'"{self.digest}"', "Cache-Control": caching}


class Static(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        file = load_files().get(path)
        if file is None or scope["method"] not in ("GET", "HEAD"):
            return await super().get_response(path, scope)  # which refuses it
        request_headers = Headers(scope=scope)
        headers = file.build_headers(scope["query_string"].decode("latin-1"))
        if headers["ETag"] in request_headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if accepts_gzip(request_headers):
            return Response(file.compressed_content, headers=headers | COMPRESSED_HEADERS, media_type=file.media_type)
        return Response(file.content, headers=headers, media_type=file.media_type)


def accepts_gzip(headers: Headers) -> bool:
    return "gzip" in headers.get("accept-encoding", "")


@cache
def load_files() -> dict[str, StaticFile]:
    """Returns the files of the folder and the bundles, by name."""
    content_by_name = {path.name: path.read_bytes() for path in STATIC_FOLDER.iterdir()}
    content_by_name |= {name: b"\n".join(map(content_by_name.__getitem__, parts)) for name, parts in BUNDLES.items()}
    return {name: _build_file(name, content) for name, content in content_by_name.items()}


def _build_file(name: str, content: bytes) -> StaticFile:
    media_type, _ = mimetypes.guess_type(name)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return StaticFile(content, gzip.compress(content, mtime=0), media_type, digest)


def get_static_url(name: str) -> str:
    """Returns the address of a static file, with the digest of its content."""
    return f"/static/{name}?{load_files()[name].digest}"
