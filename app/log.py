"""Logging to stderr: one JSON object for each line in production, readable lines elsewhere.

Message texts, whole phone numbers, keys and the queries of URLs are never logged.
"""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, Processor

NOISY_LOGGERS = ("httpx", "httpcore", "aiohttp", "uvicorn.access", "arq.worker", "asyncio", "alembic")
"""Their INFO lines hold URLs or arguments, or are too many."""
RENDER_WITHOUT_LOCALS = ExceptionDictTransformer(show_locals=False)
"""Local variables may be texts, keys or phones."""


def drop_error_details(_: object, __: str, event: EventDict) -> EventDict:
    """Removes DETAIL from PostgreSQL's errors: it quotes the refused row. (PostgreSQL itself omits it
    under row-level security, but that is not in force where the service has only one role.)"""
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
    """Sets up structlog, and formats what libraries log in the same way."""
    shared_processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_error_details,
    ]
    final_processors: list[Processor] = (
        [structlog.processors.ExceptionRenderer(RENDER_WITHOUT_LOCALS), structlog.processors.JSONRenderer()]
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
