"""Traces: one for each turn, across processes, without a word of what was said."""

import asyncio
from contextlib import ExitStack

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import settings, traces
from app.settings import Settings
from tests.flows.test_agent_mode import reply, talking
from tests.world import World, served


async def test_a_turn_is_one_trace_from_the_webhook_to_the_text_that_answers(
    world: World, configuration: Settings
) -> None:
    bodies: list[bytes] = []

    async def collect(request: Request) -> Response:
        bodies.append(await request.body())
        return Response()

    async with served(Starlette(routes=[Route("/v1/traces", collect, methods=["POST"])])) as url:
        given = settings.load(**{**dict(configuration), "otel_exporter_otlp_endpoint": url})
        with ExitStack() as stack:
            stack.enter_context(traces.export_traces(given, "test"))
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
            await asyncio.to_thread(stack.close)  # the last spans leave; their server is here

    spans = [
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert inline["turnId"] != by_api["turnId"]
    for turn in (inline, by_api):
        known = [
            s for s in spans if any(a.key == "id" and a.value.string_value == turn["turnId"] for a in s.attributes)
        ]
        assert [s.name for s in sorted(known, key=lambda s: s.start_time_unix_nano)] == [
            "webhook", "hand-over", "reply", "text",
        ]  # fmt: skip
        assert len({s.trace_id for s in known}) == 1
    everything = b"".join(bodies)
    for said in (b"marzipan", b"secret", world.phone.encode(), world.tenant.key.encode()):
        assert said not in everything
