"""Traces, enabled by OTEL_EXPORTER_OTLP_ENDPOINT: a trace for each turn and each text, from the
carrier's webhook to the agent, its reply and the carrier's answer.

The trace id is a hash of the turn's or text's id, so the processes need not pass a trace context to
each other. Attributes are ids and outcomes, never texts or phones.
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
    """Inside the block, spans go to the endpoint, if one is set. Raises `ConfigurationError` if the
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
    """Records the block as a span in the trace of the turn or text `subject_id`. Without an exporter
    it does nothing."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, _build_root(subject_id), attributes={"id": subject_id, **ids}):
        yield


def record_point(name: str, subject_id: str, **ids: str | int) -> None:
    """Records an event of this moment as a span without duration."""
    with record_span(name, subject_id, **ids):
        pass


def _build_root(subject_id: str) -> "Context":
    """The parent of all spans of one turn or text. It has only ids, and is never exported itself."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    digest = sha256(subject_id.encode()).digest()
    root = SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(root))
