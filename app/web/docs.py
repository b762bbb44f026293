"""/docs and /redoc. They work without the internet: the assets come from an installed package."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
SWAGGER_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>LeadSail SMS API</title><link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head><body><div id="docs"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>
</body></html>"""
# Requests go to the host that served the page, whatever address the document names: the page's policy
# allows no other.
SWAGGER_START_JS = """fetch("/openapi.json").then((answer) => answer.json()).then((document) =>
  SwaggerUIBundle({spec: {...document, servers: [{url: "/"}]}, dom_id: "#docs", deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", validatorUrl: null}));"""
REDOC_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>LeadSail SMS API</title><link rel="icon" href="/docs/assets/favicon.png"></head><body>
<redoc spec-url="/openapi.json" disable-google-font="true" hide-loading="true"></redoc>
<script src="/docs/assets/redoc.standalone.js"></script></body></html>"""
# Both viewers add inline styles to the page. Scripts come from this host only.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self';"
    " img-src 'self' data:; font-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)
DOCS_HEADERS = {"Content-Security-Policy": CONTENT_POLICY}


@router.get("/docs")
async def show_swagger() -> Response:
    return HTMLResponse(SWAGGER_HTML, headers=DOCS_HEADERS)


@router.get("/docs/start.js")
async def send_start_script() -> Response:
    return Response(SWAGGER_START_JS, media_type="text/javascript")


@router.get("/redoc")
async def show_redoc() -> Response:
    return HTMLResponse(REDOC_HTML, headers=DOCS_HEADERS)


def mount_assets() -> Mount | None:
    """Mounts the files of Swagger UI and ReDoc from `fastapi-offline`; None if it is not installed."""
    spec = find_spec("fastapi_offline")  # not imported: only its files are needed
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "static"
    return Mount("/docs/assets", StaticFiles(directory=folder), name="docs-assets")
