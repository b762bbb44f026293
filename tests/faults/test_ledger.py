"""The ledger itself: a good run passes, and each of its checks can fail."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.ledger import Heard, Posted, Record, Written, breaches, read
from tests.world import World

PHONE = "+12125551234"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = (NOW + timedelta(seconds=3)).isoformat()


def good() -> Record:
    """A good run: two texts, one turn, a delivered reply, then a STOP and its confirmation."""

    def entry(seq: int, role: str, message: str, status: str) -> dict[str, object]:
        return {"messageId": f"msg_{seq}", "seq": seq, "role": role, "message": message,
                "status": status}  # fmt: skip

    transcript = [
        entry(1, "user", "one", "received"), entry(2, "user", "two", "received"),
        entry(3, "agent", "Yes [turn_a/1]", "delivered"), entry(4, "user", "STOP", "received"),
        entry(5, "agent", "Out", "delivered"),
    ]  # fmt: skip
    told = [{"messageId": "msg_1", "seq": 1}, {"messageId": "msg_2", "seq": 2}]
    return Record(
        posted=[Posted("Yes [turn_a/1]", ("msg_3", "msg_3")), Posted("No", ())],
        written=[Written(PHONE, "one", 200, NOW, owed=True),
                 Written(PHONE, "two", 200, NOW, owed=True), Written(PHONE, "STOP", 200, NOW)],
        heard=[Heard("turn_a", ("one", "two"), 200)],
        threads=[{"interactionId": "int_1", "phone": PHONE, "transcript": transcript,
                  "transcriptTruncated": False}],
        turns=[{"turnId": "turn_a", "state": "replied", "reason": "answered", "messages": told,
                "closedAt": LATER, "movedTo": None,
                "attempts": [{"httpStatus": 200, "at": NOW.isoformat(), "durationMs": 20}]}],
        accepted={"msg_3": [{"text": "Yes [turn_a/1]"}], "msg_5": [{"text": "Out"}]},
        arrived={PHONE: [("Yes [turn_a/1]", NOW), ("Out", NOW + timedelta(seconds=9))]},
        stopped={PHONE: NOW + timedelta(seconds=8)},
        confirmation="Out",
    )  # fmt: skip


def lost(run: Record) -> None:
    run.written.append(Written(PHONE, "three", 200, NOW))


def stored_twice(run: Record) -> None:
    run.threads[0]["transcript"].append(run.threads[0]["transcript"][0] | {"seq": 6, "messageId": "msg_6"})


def taken_twice(run: Record) -> None:
    run.posted[0] = replace(run.posted[0], ids=("msg_3", "msg_4"))


def taken_and_lost(run: Record) -> None:
    run.posted.append(Posted("Maybe", ("msg_6",)))


def refused_and_kept(run: Record) -> None:
    run.posted[0] = replace(run.posted[0], ids=())


def misordered(run: Record) -> None:
    run.threads[0]["transcript"][4]["seq"] = 6


def handed_to_nobody(run: Record) -> None:
    run.turns[0] |= {"state": "delivering", "closedAt": None, "attempts": []}


def handed_over_twice(run: Record) -> None:
    run.turns.append(run.turns[0] | {"turnId": "turn_b"})
    run.heard.append(Heard("turn_b", ("one", "two"), 200))


def moved_although_it_was_heard(run: Record) -> None:
    handed_over_twice(run)
    run.turns[0]["movedTo"] = "turn_b"


def never_heard(run: Record) -> None:
    run.heard[0] = replace(run.heard[0], status=503)


def closed_without_a_word(run: Record) -> None:
    run.turns[0]["reason"] = None


def doubled_at_the_carrier(run: Record) -> None:
    run.accepted["msg_3"] *= 2


def resent_after_one_denial(run: Record) -> None:
    run.accepted["msg_3"] *= 2
    run.denied["msg_3"] = 1


def claimed_to_be_sent(run: Record) -> None:
    del run.accepted["msg_3"]


def cancelled_and_sent(run: Record) -> None:
    run.threads[0]["transcript"][2]["status"] = "cancelled"


def forgotten(run: Record) -> None:
    run.ends["msg_3"] = {"status": "sending", "errorCode": None, "errorMessage": None}


def unknown_without_a_reason(run: Record) -> None:
    run.ends["msg_3"] = {"status": "unknown", "errorCode": None, "errorMessage": None}


def turned_back(run: Record) -> None:
    run.accepted["msg_3"][0]["told"] = ["delivered", "sent"]
    run.threads[0]["transcript"][2]["status"] = "sent"


def answered_twice(run: Record) -> None:
    run.accepted["msg_6"] = [{"text": "And no [turn_a/2]"}]


def superseded_and_answered(run: Record) -> None:
    run.turns[0]["state"] = "superseded"


def texted_after_stop(run: Record) -> None:
    run.arrived[PHONE].append(("And another thing", NOW + timedelta(seconds=10)))


def confirmed_twice(run: Record) -> None:
    run.arrived[PHONE].append(("Out", NOW + timedelta(seconds=10)))


def test_a_good_run_passes() -> None:
    assert breaches(good()) == []


@pytest.mark.parametrize(
    "doctored",
    [lost, stored_twice, taken_twice, taken_and_lost, refused_and_kept, misordered,
     handed_to_nobody, handed_over_twice, moved_although_it_was_heard, never_heard,
     closed_without_a_word, doubled_at_the_carrier, resent_after_one_denial, claimed_to_be_sent,
     cancelled_and_sent, forgotten, turned_back, unknown_without_a_reason, answered_twice,
     superseded_and_answered, texted_after_stop, confirmed_twice],
)  # fmt: skip
def test_a_run_that_went_wrong_is_seen(doctored: Callable[[Record], None]) -> None:
    run = deepcopy(good())
    doctored(run)
    assert breaches(run)


async def test_it_is_read_when_the_carrier_has_said_all_it_has_to_say(world: World) -> None:
    world.carrier.known.receipt_delay = 0.5
    sent = await world.send()
    await world.status_is(sent["messageId"], "sent")
    record = await read(world.tenant, world.carrier.known, Record())
    assert [entry["status"] for entry in record.entries("agent")] == ["delivered"]
    assert breaches(record) == []


def test_a_text_that_was_twice_denied_may_arrive_twice() -> None:
    run = good()
    doubled_at_the_carrier(run)
    run.denied["msg_3"] = 2
    assert breaches(run) == []


def test_a_turn_of_which_a_sleeper_tells_too_late_may_have_moved_on() -> None:
    run = good()
    moved_although_it_was_heard(run)
    closed = datetime.fromisoformat(run.turns[0]["closedAt"])
    run.alone = [(closed + timedelta(seconds=1), closed + timedelta(seconds=2))]
    assert breaches(run) != []
    run.alone = [(closed - timedelta(seconds=1), closed + timedelta(seconds=1))]
    assert breaches(run) == []


def test_two_leads_may_write_the_same_word() -> None:
    run = good()
    other = "+12125554321"
    run.written.append(Written(other, "STOP", 200, NOW))
    said = {"messageId": "msg_9", "seq": 1, "role": "user", "message": "STOP", "status": "received"}
    run.threads.append({"interactionId": "int_2", "phone": other, "transcript": [said],
                        "transcriptTruncated": False})  # fmt: skip
    assert breaches(run) == []
