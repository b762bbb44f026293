"""Traces, for who sets OTEL_EXPORTER_OTLP_ENDPOINT: from the carrier's webhook to the hand-over,
the reply, and the text that carries it.

A turn or text passes through several processes; its trace id is derived from its own id, so that
nothing needs to be handed on. Attributes are ids and outcomes: no text, no phone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from app.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

_tracer: "Tracer | None" = None


@contextmanager
def export_traces(settings: Settings, process: str) -> Iterator[None]:
    """While inside, spans go to the endpoint, if one is set. Raises `ConfigurationError` when the
    libraries are not installed."""
    global _tracer
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError("OTEL_EXPORTER_OTLP_ENDPOINT is set: install leadsail-sms[traces]") from None
    endpoint = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    provider = TracerProvider(resource=Resource({"service.name": f"leadsail-sms-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    _tracer = provider.get_tracer("leadsail-sms")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


@contextmanager
def record_span(name: str, subject_id: str, **ids: str | int) -> Iterator[None]:
    """What happens inside, in the trace of the turn or text `subject_id`; nothing without an exporter."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, _build_root(subject_id), attributes={"id": subject_id, **ids}):
        yield


def record_point(name: str, subject_id: str, **ids: str | int) -> None:
    """Something that happened just now."""
    with record_span(name, subject_id, **ids):
        pass


def _build_root(subject_id: str) -> "Context":
    """The parent of all spans of one turn or text: it stands for the thing itself, and is sent by
    nobody."""
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    digest = sha256(subject_id.encode()).digest()
    root = SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(root))
