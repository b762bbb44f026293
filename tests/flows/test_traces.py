"""Traces: one for each turn, across processes, without a word of what was said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import settings, traces
from app.settings import ConfigurationError, Settings
from tests.backend import Backend, backend
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_webhook_endpoints import has_heard, open_endpoint
from tests.makers import Tenant
from tests.world import World, served

__all__ = ["backend"]
CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """What came by OTLP. The spans are there when the block of `collecting` has ended."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        scopes = [scope for r in self.requests for resource in r.resource_spans for scope in resource.scope_spans]
        return sorted((span for scope in scopes for span in scope.spans), key=lambda s: s.start_time_unix_nano)

    @property
    def resource(self) -> dict[str, str]:
        attributes = self.requests[0].resource_spans[0].resource.attributes
        return {attribute.key: attribute.value.string_value for attribute in attributes}

    def named(self, name: str) -> Span:
        [span] = [span for span in self.spans if span.name == name]
        return span


def attributes_of(span: Span) -> dict[str, str | int]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@asynccontextmanager
async def collecting(configuration: Settings, **given: object) -> AsyncIterator[Collector]:
    collector = Collector()

    async def collect(request: Request) -> Response:
        collector.bodies.append(await request.body())
        return Response()

    async with served(Starlette(routes=[Route("/v1/traces", collect, methods=["POST"])])) as url:
        traced = settings.load(**{**dict(configuration), "otel_exporter_otlp_endpoint": url, **given})
        with ExitStack() as stack:
            stack.enter_context(traces.export_traces(traced, "test"))
            yield collector
            await asyncio.to_thread(stack.close)  # the last spans leave; their server is here


async def test_a_turn_is_one_trace_from_the_webhook_to_the_text_that_answers(
    world: World, configuration: Settings
) -> None:
    async with collecting(configuration) as collector:
        thread = await talking(world)
        world.agent.answers = [(200, {"reply": "The secret is marzipan"}), (200, {})]
        await world.text("Tell me the secret")
        inline = await world.turn_is(thread, "replied")
        await world.status_is(inline["reply"]["messageIds"][0], "delivered")
        await world.text("And another")
        told = await world.told(2)
        await reply(world, "There is none", turnId=told["turn"]["turnId"])
        by_api = await world.turn_is(thread, "replied")
        await world.status_is(by_api["reply"]["messageIds"][0], "delivered")

    assert inline["turnId"] != by_api["turnId"]
    for turn in (inline, by_api):
        known = [span for span in collector.spans if attributes_of(span).get("leadsail.id") == turn["turnId"]]
        assert [span.name for span in known] == ["webhook", "hand-over", "reply", "text"]
        assert len({span.trace_id for span in known}) == 1
        # The agent may go on the trace.
        [headers] = [h for h, _ in world.agent.requests if h["webhook-id"] == turn["turnId"]]
        assert headers["traceparent"] == f"00-{known[1].trace_id.hex()}-{known[1].span_id.hex()}-01"
        assert attributes_of(known[1])["http.response.status_code"] == 200
    everything = b"".join(collector.bodies)
    for said in (b"marzipan", b"secret", world.phone.encode(), world.tenant.key.encode()):
        assert said not in everything


async def test_a_request_goes_on_its_callers_trace_and_leads_to_that_of_its_text(
    world: World, configuration: Settings, backend: Backend
) -> None:
    await open_endpoint(world.tenant, backend)
    async with collecting(configuration) as collector:
        with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
            body = {"leadId": world.lead["leadId"], "message": "Hi"}
            headers = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}
            sent = (await world.tenant.ask("POST", "/sms/send", body, headers=headers)).json()["data"]
        await world.status_is(sent["messageId"], "delivered")
        await has_heard(backend, "message.delivered")

    request = collector.named("POST /api/v1/sms/send")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (CALLER_TRACE, CALLER_SPAN)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes_of(request) == {
        "http.request.method": "POST", "http.route": "/api/v1/sms/send", "http.response.status_code": 202,
    }  # fmt: skip
    queued, text = collector.named("send"), collector.named("text")
    assert queued.trace_id == text.trace_id
    assert [(link.trace_id, link.span_id) for link in queued.links] == [(request.trace_id, request.span_id)]
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["trace_id"], line["span_id"]) == (CALLER_TRACE, request.span_id.hex())
    [post] = [post for post in backend.posts if post.event["type"] == "message.delivered"]
    [span] = [s for s in collector.spans if attributes_of(s).get("leadsail.id") == post.headers["webhook-id"]]
    assert post.headers["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


async def test_the_sdks_own_variables_name_the_service_and_choose_what_is_kept(
    tenant: Tenant, configuration: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting(configuration) as collector:
        await tenant.ask("GET", "/leads")
    assert collector.resource["service.name"] == "leadsail-sms-test"
    assert collector.resource["service.version"]
    monkeypatch.setenv("OTEL_SERVICE_NAME", "texts")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    async with collecting(configuration) as collector:
        await tenant.ask("GET", "/leads")
    assert collector.resource["service.name"] == "texts"
    assert collector.resource["deployment.environment.name"] == "staging"
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with collecting(configuration) as collector:
        await tenant.ask("GET", "/leads")
        traces.record_point("webhook", "turn_1")
    assert collector.bodies == []


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        ({}, False),
        ({"otel_exporter_otlp_endpoint": "http://x"}, True),
        ({"otel_exporter_otlp_traces_endpoint": "http://x/v1/traces"}, True),
        ({"otel_traces_exporter": "console"}, True),
        ({"otel_traces_exporter": "none", "otel_exporter_otlp_endpoint": "http://x"}, False),
        ({"otel_sdk_disabled": "true", "otel_exporter_otlp_endpoint": "http://x"}, False),
    ],
    ids=["nothing", "endpoint", "traces endpoint", "exporter", "none", "disabled"],
)
def test_traces_go_out_when_the_environment_asks_for_them(given: dict[str, str], asks: bool) -> None:
    assert settings.load(**given).has_traces == asks


@pytest.mark.parametrize("given", [{"otel_traces_exporter": "no-such"}, {"otel_exporter_otlp_protocol": "grpc"}])
def test_an_exporter_that_is_not_installed_is_named(given: dict[str, str]) -> None:
    asked = settings.load(otel_exporter_otlp_endpoint="http://x", **given)
    with (
        pytest.raises(ConfigurationError, match=r"there is no exporter (no-such|otlp_proto_grpc)"),
        traces.export_traces(asked, "test"),
    ):
        pass
