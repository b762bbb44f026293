"""Logging: one JSON object a line in production, readable lines elsewhere; to stderr.

No text, no whole phone number, no key and no address with its query is ever logged.
"""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, Processor

NOISY_LOGGERS = (
    "httpx",
    "httpcore",
    "aiohttp",
    "uvicorn.access",
    "arq.worker",
    "asyncio",
    "alembic",
)
"""They log addresses, arguments or too much."""
RENDER_WITHOUT_LOCALS = ExceptionDictTransformer(show_locals=False)
"""Local variables hold texts, keys and phones."""


def drop_error_details(_: object, __: str, event: EventDict) -> EventDict:
    """Takes the DETAIL out of what PostgreSQL said: it quotes the row that was refused. (Under
    row-level security PostgreSQL hides it by itself; one role alone is not under it.)"""
    exception_info = event.get("exc_info")
    error = exception_info[1] if isinstance(exception_info, tuple) else exception_info
    if error is True:
        error = sys.exc_info()[1]
    while isinstance(error, BaseException):
        if getattr(error, "sqlstate", None) and getattr(error, "detail", None):
            error.detail = None  # type: ignore[attr-defined]
        error = error.__cause__ or error.__context__
    return event


def configure(production: bool, level: str = "INFO") -> None:
    """Sets up structlog, and sends what libraries log the same way."""
    shared_processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_error_details,
    ]
    final_processors: list[Processor] = (
        [
            structlog.processors.ExceptionRenderer(RENDER_WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(),
        ]
        if production
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[*shared_processors, *final_processors],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared_processors,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final_processors],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
