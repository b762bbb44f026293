"""Scripts: what they may say, what is refused by name, and what does not match."""

from pathlib import Path
from typing import Any

import pytest

from app.dev.conversation import Snapshot
from app.dev.mismatches import Mismatch, find_mismatches
from app.dev.script import Pause, ScriptError, Step, TextRule, read_script, read_scripts
from app.documents import get_folder
from app.domain.checks import Checks


def written(folder: Path, text: str) -> Path:
    file = folder / "talk.yaml"
    file.write_text(text)
    return file


def seen(*received: str, status: str = "in_progress", mode: bool = True, **answers: str) -> Snapshot:
    thread = {"status": status, "sms": {"agentMode": mode}, "agentState": {"state": "idle"}, "transcript": []}
    return Snapshot(thread, (), received, answers)


def test_a_script_is_a_conversation_with_steps(tmp_path: Path) -> None:
    [conversation] = read_script(
        written(
            tmp_path,
            """
lead_fields: {firstName: Luis}
questionnaire: [{key: owner, question: "Do you own it?"}]
steps:
  - lead: Hello
    expect_reply: Hi Luis
  - lead: ["yes", "I own it"]
    expect_reply: {regex: "(?i)thank"}
    expect_status: qualified
    expect_answers: {owner: yes}
    expect_handoff: false
    timeout: 5
""",
        )
    )
    assert conversation.lead_fields == {"firstName": "Luis"}
    assert conversation.questionnaire == [{"key": "owner", "question": "Do you own it?"}]
    assert list(conversation.steps) == [
        Step(("Hello",), reply=TextRule("contains", "Hi Luis")),
        Step(
            ("yes", "I own it"),
            reply=TextRule("regex", "(?i)thank"),
            status="qualified",
            answers={"owner": TextRule("contains", "yes")},
            handoff=False,
            timeout=5,
        ),
    ]


def test_a_list_is_steps_alone_and_documents_are_conversations(tmp_path: Path) -> None:
    conversations = read_script(written(tmp_path, "- lead: Hello\n---\n- lead: STOP\n  expect_no_reply: true\n"))
    assert [conversation.steps[0].texts for conversation in conversations] == [("Hello",), ("STOP",)]
    assert conversations[1].steps[0].no_reply


def test_a_script_says_what_is_said_waited_for_and_expected(tmp_path: Path) -> None:
    [conversation] = read_script(
        written(
            tmp_path,
            """
name: A burst
window: 7 s
steps:
  - says: [Hello, {waits: 3 s}, "Anybody?"]
    expects: {reply: Hi, no_reply: false, mustContain: [Jane], asksOneQuestion: true, maxSegments: 2}
  - waits: 2 days
  - answers_like: impatient
    answers: {owner: "yes"}
    expects: {answers: {owner: "yes"}, outcomeIs: qualified, status: qualified}
""",
        )
    )
    assert (conversation.name, conversation.window) == ("A burst", 7)
    assert list(conversation.steps) == [
        Step(
            ("Hello", Pause(3), "Anybody?"),
            reply=TextRule("contains", "Hi"),
            checks=Checks(must_contain=("Jane",), asks_one_question=True, max_segments=2),
        ),
        Step(waits=172_800),
        Step(
            style="impatient",
            facts={"owner": "yes"},
            answers={"owner": TextRule("contains", "yes")},
            status="qualified",
            checks=Checks(outcome_is="qualified"),
        ),
    ]


def test_a_folder_is_all_of_its_scripts() -> None:
    names = [conversation.name for conversation in read_scripts(get_folder() / "examples" / "leads")]
    assert len(set(names)) == 20


def test_checks_that_fail_are_mismatches() -> None:
    step = Step(("Hi",), checks=Checks(must_not_contain=("jane",), asks_one_question=True, outcome_is="qualified"))
    assert list(find_mismatches(step, seen(), seen("Hi Jane!"))) == [
        Mismatch("expects.mustNotContain", "passed", "contains 'jane'"),
        Mismatch("expects.asksOneQuestion", "passed", "asks no questions"),
        Mismatch("expects.outcomeIs", "passed", "is in_progress, not qualified"),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no steps"),
        ("steps: []", "steps: must be a list of steps"),
        ("just words", "the script: must be a mapping"),
        ("- lead: [", "is not YAML"),
        ("- lead: [Hello, Anybody?]", "texts with ? : # or brackets need quotation marks"),
        ("- lead: Hello\n  expect_repli: Hi", "steps[0]: expect_repli is not known"),
        ("step: []", "the script: step is not known"),
        ("- expect_reply: Hi", "steps[0].says: must be a text"),
        ("- lead: ''", "steps[0].lead: must be a text"),
        ("- lead: Hello\n- lead: [Hello, {a: b}]", "steps[1].lead: must be a text"),
        ("- lead: Hello\n  expect_reply: [Hi]", "steps[0].expect_reply: must be a text, or one of"),
        ("- lead: Hello\n  expect_reply: {like: Hi}", "steps[0].expect_reply: like is not known"),
        ("- lead: Hello\n  expect_reply: {regex: '('}", "steps[0].expect_reply: is not a regular expression"),
        ("- lead: Hello\n  expect_answers: yes", "steps[0].expect_answers: must be a mapping"),
        ("- lead: Hello\n  expect_answers: {owner: [1]}", "steps[0].expect_answers.owner: must be a text"),
        ("- lead: Hello\n  expect_handoff: maybe", "steps[0].expect_handoff: must be true or false"),
        ("- lead: Hello\n  timeout: soon", "steps[0].timeout: must be seconds"),
        ("- lead: Hello\n  timeout: 0", "steps[0].timeout: must be seconds"),
        ("lead_fields: [a]\nsteps: [{lead: Hello}]", "lead_fields: must be a mapping"),
        ("- says: Hello\n  lead: Hello", "steps[0]: lead and says are the same"),
        ("- says: [{waits: 3 s}]", "steps[0].says: must be a text, or a list of texts"),
        ("- says: [Hello, {waits: soon}]", "steps[0].says.waits: must be a time such as 7 s"),
        ("- waits: 0 s", "steps[0].waits: must be a time such as 7 s"),
        ("- says: Hi\n  expects: {mustSay: Hi}", "steps[0].expects: mustSay is not known"),
        ("- says: Hi\n  expects: {maxSegments: many}", "steps[0].expects.maxSegments: must be a number"),
        ("- says: Hi\n  expects: {no_reply: maybe}", "steps[0].expects.no_reply: must be true or false"),
        ("- answers_like: a king", "steps[0].answers_like: must be one of plain, impatient"),
        ("window: 2 h\nsteps: [{says: Hi}]", "window: must be from 1 s to 60 s"),
        ("questionnaire: owner\nsteps: [{lead: Hello}]", "questionnaire: must be a list"),
    ],
)
def test_what_a_script_may_not_say_is_refused_by_its_place(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read_script(written(tmp_path, text))
    assert fault in str(caught.value)


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"none\.yaml: No such file"):
        read_script(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "step",
    [
        Step(("Hi",)),
        Step(("Hi",), reply=TextRule("contains", "HI JANE")),
        Step(("Hi",), reply=TextRule("equals", "Hi Jane!\nHow are you?")),
        Step(("Hi",), reply=TextRule("regex", r"^Hi \w+!")),
        Step(("Hi",), status="qualified", answers={"owner": TextRule("contains", "YES")}, handoff=True),
    ],
    ids=["nothing", "contains", "equals", "regex", "outcome"],
)
def test_what_came_as_expected_is_no_mismatch(step: Step) -> None:
    after = seen("Before", "Hi Jane!", "How are you?", status="qualified", mode=False, owner="yes, I do")
    assert list(find_mismatches(step, seen("Before"), after)) == []


@pytest.mark.parametrize(
    ("expected", "mismatch"),
    [
        ({"reply": TextRule("contains", "Bye")}, Mismatch("expects.reply", "contains 'Bye'", "'Hi Jane!'")),
        ({"reply": TextRule("equals", "Hi")}, Mismatch("expects.reply", "equals 'Hi'", "'Hi Jane!'")),
        ({"reply": TextRule("contains", "Before")}, Mismatch("expects.reply", "contains 'Before'", "'Hi Jane!'")),
        ({"no_reply": True}, Mismatch("expects.no_reply", "no reply", "'Hi Jane!'")),
        ({"status": "qualified"}, Mismatch("expects.status", "qualified", "in_progress")),
        (
            {"answers": {"owner": TextRule("contains", "yes")}},
            Mismatch("expects.answers.owner", "contains 'yes'", "no answer"),
        ),
        ({"handoff": True}, Mismatch("expects.handoff", "a hand-off", "no hand-off")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_did_not_come_is_said_beside_what_came(expected: dict[str, Any], mismatch: Mismatch) -> None:
    assert list(find_mismatches(Step(("Hi",), **expected), seen("Before"), seen("Before", "Hi Jane!"))) == [mismatch]


def test_a_reply_that_is_awaited_and_none_that_came_is_a_mismatch() -> None:
    step = Step(("Hi",), reply=TextRule("contains", ""))
    assert list(find_mismatches(step, seen(), seen())) == [Mismatch("expects.reply", "contains ''", "no reply")]
