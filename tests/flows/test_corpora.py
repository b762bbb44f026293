"""Corpora: what may join them, and what is refused by name."""

import pytest

from app.resources import Resources
from tests.world import World, agent, carrier, idle_world, world

__all__ = ["agent", "carrier", "idle_world", "world"]


async def add_made(world: World, payload: str) -> tuple[int, str]:
    """Sends the payload as it stands: no client writes such JSON by itself."""
    corpus = await world.tenant.call("POST", "/corpora", {"name": f"Odd {payload[:40]!a}"})
    answer = await world.tenant.http.post(
        f"/api/v1/corpora/{corpus['corpusId']}/turns",
        content=f'{{"made": [{{"says": ["Hi"]}}, {{"payload": {payload}}}]}}',
        headers={"X-API-Key": world.tenant.key, "content-type": "application/json"},
    )
    return answer.status_code, answer.text


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (r'{"lead": {"firstName": "Ja\u0000ne"}}', "made[1].payload.lead.firstName: must not contain the NUL"),
        (r'{"lead": {"tags": ["a", "\ud800"]}}', "made[1].payload.lead.tags[1]: must be valid Unicode"),
        (r'{"lead": {"a\u0000b": 1}}', "made[1].payload.lead: a name must not contain the NUL"),
        ('{"lead": {"age": 1e400}}', "made[1].payload.lead.age: must be a finite number"),
        ('{"lead": {"age": -1e400}}', "made[1].payload.lead.age: must be a finite number"),
        (nested(200), "has more than 20 levels"),
        ('{"turn": 1}', "made[1].payload.turn: must be an object"),
        ('{"turn": {"throughSeq": "1"}}', "made[1].payload.turn.throughSeq: must be a whole number"),
        ('{"turn": {"throughSeq": true}}', "made[1].payload.turn.throughSeq: must be a whole number"),
        ('{"turn": {"throughSeq": -1}}', "made[1].payload.turn.throughSeq: must be a whole number"),
        ('{"turn": {"throughSeq": 2147483648}}', "made[1].payload.turn.throughSeq: must be a whole number"),
    ],
    ids=["nul", "surrogate", "nul-name", "infinite", "minus-infinite", "deep", "no-turn", "text", "flag", "minus",
         "long"],
)  # fmt: skip
async def test_a_payload_that_cannot_be_stored_is_refused_by_name(idle_world: World, payload: str, fault: str) -> None:
    status, text = await add_made(idle_world, payload)
    assert (status, fault in text) == (400, True), text


@pytest.mark.parametrize("payload", [nested(19), '{"turn": {"throughSeq": 2147483647}}', '{"lead": null}'],
                         ids=["nested", "long", "null"])  # fmt: skip
async def test_any_other_payload_joins(idle_world: World, payload: str) -> None:
    status, text = await add_made(idle_world, payload)
    assert (status, '"added":2' in text) == (201, True), text


async def test_a_corpus_and_the_number_of_corpora_have_an_end(idle_world: World, resources: Resources) -> None:
    tenant = idle_world.tenant
    corpus = await tenant.call("POST", "/corpora", {"name": "Full"})
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """INSERT INTO corpus_turns (tenant_id, corpus_id, corpus_turn_id, payload, actor)
               SELECT $1, $2, 'made_' || i, '{}', 'x' FROM generate_series(1, 9999) i""",
            tenant.tenant_id,
            corpus["corpusId"],
        )
    here, made = f"/corpora/{corpus['corpusId']}/turns", {"made": [{"says": ["Hi"]}]}
    assert (await tenant.call("POST", here, made))["added"] == 1
    refused = await tenant.ask("POST", here, made)
    assert (refused.status_code, "corpusId: a corpus has at most 10,000 turns" in refused.text) == (400, True)
    for number in range(99):
        await tenant.call("POST", "/corpora", {"name": f"{number}"})
    refused = await tenant.ask("POST", "/corpora", {"name": "One more"})
    assert (refused.status_code, "name: a tenant has at most 100 corpora" in refused.text) == (400, True)


async def test_a_turn_that_cannot_join_is_named_by_its_place(idle_world: World) -> None:
    corpus = await idle_world.tenant.call("POST", "/corpora", {"name": "Places"})
    body = {"turnIds": ["turn_a", "turn_a", "turn_b"]}
    refused = await idle_world.tenant.ask("POST", f"/corpora/{corpus['corpusId']}/turns", body)
    faults = refused.json()["error"]["details"]
    assert [fault.partition(":")[0] for fault in faults] == ["turnIds[0]", "turnIds[1]", "turnIds[2]"]


async def test_who_adds_and_removes_a_corpus_and_runs_trials_is_audited(idle_world: World) -> None:
    tenant = idle_world.tenant
    corpus = await tenant.call("POST", "/corpora", {"name": "Hard cases"})
    trial = await tenant.call(
        "POST", "/trials", {"corpusId": corpus["corpusId"], "smsAgentId": idle_world.smsagent["smsAgentId"]}
    )
    await tenant.call("POST", f"/trials/{trial['trialId']}/stop")
    await tenant.call("DELETE", f"/corpora/{corpus['corpusId']}")
    entries = (await tenant.call("GET", "/audit?subject=corpus,trial"))["audit"]
    assert [(entry["subject"], entry["action"], entry["subjectId"]) for entry in entries] == [
        ("trial", "removed", trial["trialId"]),
        ("corpus", "removed", corpus["corpusId"]),
        ("trial", "changed", trial["trialId"]),
        ("trial", "added", trial["trialId"]),
        ("corpus", "added", corpus["corpusId"]),
    ]
    assert {entry["actorName"] for entry in entries} == {"First key"}
    assert entries[2]["changes"] == [{"field": "state", "from": "running", "to": "stopped"}]
