"""The processes: web, worker, and `up` with its demo."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Callable

from app import settings, traces
from app.cli.results import CommandError
from app.mcp.on_demand import is_installed
from app.resources import open_resources
from app.settings import ConfigurationError, Settings

STOP_SECONDS = 15
"""How long running requests may take after a stop was requested."""
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than balancers and clients keep theirs, so they
close it and not we. If we closed it when it is used again, the request would be lost."""


def run_web(configuration: Settings, _: argparse.Namespace) -> int:
    return _run_web(configuration, with_mcp=False)


def run_mcp(configuration: Settings, _: argparse.Namespace) -> int:
    """A web process that loads its tools for assistants at its start."""
    if not is_installed():
        raise CommandError("the extra `mcp` is not installed: pip install 'leadsail-sms[mcp]'")
    return _run_web(configuration, with_mcp=True)


def _run_web(configuration: Settings, with_mcp: bool) -> int:
    settings.require_servers(configuration)
    trace_export = traces.export_traces(configuration, "web")
    with trace_export, asyncio.Runner(loop_factory=_get_loop_factory()) as runner:
        return runner.run(_serve_web(configuration, with_mcp))


async def _serve_web(configuration: Settings, with_mcp: bool) -> int:
    import uvicorn

    from app.main import Server, build_app

    # Opened here and not by the application, so that a failure is reported in one line.
    async with open_resources(configuration) as resources:
        server = Server(
            uvicorn.Config(
                build_app(configuration, resources, with_mcp),
                host=configuration.host,
                port=configuration.port,
                http=Server.protocol,
                lifespan="on",
                log_config=None,
                access_log=False,  # app.web logs requests itself
                server_header=False,
                proxy_headers=False,  # addresses come from PUBLIC_BASE_URL
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            ),
            configuration.linger_seconds,
        )

        gc.freeze()  # start-up objects stay: the collector need not visit them while requests wait
        # For the time before and after serving; while it serves, uvicorn sets the same handlers.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        await server.serve()
    return 0 if server.started else 1


def _get_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def run_worker(configuration: Settings, options: argparse.Namespace) -> int:
    from app import worker as process

    settings.require_servers(configuration)
    with asyncio.Runner(loop_factory=_get_loop_factory()) as runner:
        runner.run(process.run(configuration, options.drain))
    return 0


def run_up(configuration: Settings, _: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("up starts a demo and is refused in production: run web and worker")
    from app.operations import up

    return up.run_up(configuration)


def run_demo(configuration: Settings, options: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("demo is refused in production")
    from app.operations import up

    return up.run_demo(configuration, story=options.story)
