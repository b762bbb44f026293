"""Traces by OpenTelemetry: one for each turn and each text, from the carrier's webhook to the agent, its
reply and the carrier's answer; and one for each request to us, which goes on the caller's trace.

The trace id of a turn or text is a hash of its id, so the processes need not pass a trace context to
each other; spans of requests are linked to it. Attributes are ids and outcomes, never texts or phones.
The SDK reads its own variables (exporter, sampler, resource, batches).
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import structlog

from app.settings import ConfigurationError, Settings
from app.version import find_version

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, SpanKind, Tracer

NAME = "leadsail-sms"
EXPORTERS = "opentelemetry_traces_exporter"
"""The entry points by which the SDK knows exporters."""
_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None


@contextmanager
def export_traces(settings: Settings, process: str) -> Iterator[None]:
    """Inside the block, spans go to the exporter, if the environment names one. Raises
    `ConfigurationError` if its libraries are not installed."""
    global _provider, _tracer
    if not settings.has_traces:
        yield
        return
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError("traces are asked for (OTEL_…): install leadsail-sms[traces]") from None
    provider = TracerProvider(resource=_build_resource(process))
    provider.add_span_processor(BatchSpanProcessor(_build_exporter(settings)))
    _provider, _tracer = provider, provider.get_tracer(NAME, find_version())
    try:
        yield
    finally:
        _provider = _tracer = None
        provider.shutdown()


def _build_exporter(settings: Settings) -> "SpanExporter":
    """Raises `ConfigurationError`."""
    name = settings.otel_traces_exporter or "otlp"
    options = {}
    if name == "otlp":
        name = "otlp_proto_grpc" if settings.otlp_protocol == "grpc" else "otlp_proto_http"
        if (
            name == "otlp_proto_http"
            and settings.otel_exporter_otlp_endpoint
            and not settings.otel_exporter_otlp_traces_endpoint
        ):
            options["endpoint"] = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    try:
        [entry, *_] = entry_points(group=EXPORTERS, name=name)
        exporter: SpanExporter = entry.load()(**options)
    except (ValueError, ImportError):
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER: there is no exporter {name}; install its package") from None
    return exporter


def _build_resource(process: str) -> "Resource":
    """What the SDK detects, and ours where it detects nothing."""
    from opentelemetry.sdk.resources import Resource

    sdk_resource = Resource.create()
    own_attributes: dict[str, Any] = {
        "service.name": f"{NAME}-{process}",
        "service.version": find_version(),
        "service.instance.id": str(uuid.uuid4()),
    }
    has_name = not str(sdk_resource.attributes.get("service.name", "")).startswith("unknown_service")
    sdk_attributes = {
        name: value for name, value in sdk_resource.attributes.items() if has_name or name != "service.name"
    }
    return Resource(own_attributes | sdk_attributes, sdk_resource.schema_url)


@contextmanager
def record_request(method: str, headers: Mapping[str, str]) -> Iterator[Callable[[str, int], None]]:
    """Records the block as a span in the trace of the caller (`traceparent`). What it yields notes the
    route and the status of the answer."""
    if _tracer is None:
        yield _note_nothing
        return
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind, Status, StatusCode

    with _start_span(method, propagate.extract(headers), SpanKind.SERVER, {"http.request.method": method}) as span:

        def note_answer(route: str, status: int) -> None:
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

        yield note_answer


def _note_nothing(_: str, __: int) -> None:
    pass


@contextmanager
def record_span(name: str, subject_id: str, **ids: str | int) -> Iterator[None]:
    """Records the block, a request of ours, as a span in the trace of the turn or text `subject_id`.
    Without an exporter it does nothing."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    with _start_span(name, _build_root(subject_id), SpanKind.CLIENT, _name_ids(subject_id, ids)):
        yield


def record_point(name: str, subject_id: str, **ids: str | int) -> None:
    """Records an event of this moment as a span without duration, with a link to the span around it."""
    if _tracer is None:
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span

    outer_context = get_current_span().get_span_context()
    links = [Link(outer_context)] if outer_context.is_valid else []
    with _start_span(name, _build_root(subject_id), SpanKind.INTERNAL, _name_ids(subject_id, ids), links):
        pass


def note_answer(status: int | None, failure: str | None = None) -> None:
    """Notes at the span of a request what was answered; `failure`: the kind of what went wrong."""
    if _tracer is None:
        return
    from opentelemetry.trace import Status, StatusCode, get_current_span

    span = get_current_span()
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if failure is not None:
        span.set_attribute("error.type", str(status or failure))
        span.set_status(Status(StatusCode.ERROR))


def build_headers() -> dict[str, str]:
    """The headers (`traceparent`) by which the receiver of a request goes on the trace of the present span."""
    headers: dict[str, str] = {}
    if _tracer is not None:
        from opentelemetry import propagate

        propagate.inject(headers)
    return headers


def _name_ids(subject_id: str, ids: Mapping[str, str | int]) -> dict[str, str | int]:
    return {"leadsail.id": subject_id} | {f"leadsail.{name}": value for name, value in ids.items()}


@contextmanager
def _start_span(
    name: str,
    parent: "Context",
    kind: "SpanKind",
    attributes: Mapping[str, str | int],
    links: "list[Link] | None" = None,
) -> Iterator[Any]:
    """A span whose ids stand in all log lines of the block. An error is noted by its type alone: its
    words may quote a text."""
    from opentelemetry.trace import Status, StatusCode, format_span_id, format_trace_id

    assert _tracer is not None
    with _tracer.start_as_current_span(
        name, parent, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as span:
        context = span.get_span_context()
        with structlog.contextvars.bound_contextvars(
            trace_id=format_trace_id(context.trace_id), span_id=format_span_id(context.span_id)
        ):
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


def _build_root(subject_id: str) -> "Context":
    """The parent of all spans of one turn or text. It has only ids, and is never exported itself. The
    sampler judges its trace id, so that all processes keep or drop the same traces."""
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    assert _provider is not None
    digest = sha256(subject_id.encode()).digest()
    trace_id = int.from_bytes(digest[:16], "big")
    decision = _provider.sampler.should_sample(None, trace_id, NAME).decision
    root = SpanContext(
        trace_id=trace_id,
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(root))
