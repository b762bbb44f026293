"""A person answers or corrects a question of a lead's questionnaire."""

from app.commands import timeline
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import lead_answers, page, suppressions
from app.store.engine import Tx
from app.store.interactions import Thread
from app.store.lead_answers import LeadChange, LeadNews, NewAnswer
from app.store.suppressions import PhoneKey


async def correct_answer(tx: Tx, caller: Caller, thread: Thread, key: str, answer: str) -> None:
    """Records the answer of the thread's lead. From now on no agent overwrites it. Raises `Invalid` if
    the questionnaire has no such question."""
    await suppressions.lock_phones_only(tx, [PhoneKey(thread.tenant_id, thread.lead_phone)])
    contact = await page.get_contact(tx, *thread.key)
    questions = {item["key"]: item["question"] for item in (*contact.questions, *contact.questionnaire)}
    if key not in questions:
        raise Invalid(details=["Answer: its question is not in the questionnaire"])
    new_answer = NewAnswer(
        tenant_id=thread.tenant_id,
        answer_id=ids.make("evt"),
        lead_id=contact.lead_id,
        key=key,
        answer=answer,
        turn_id=None,
        message_id=None,
        author=caller.author,
    )
    entries = lead_answers.build_entries([(key, questions[key], answer)])
    change = LeadChange(thread.tenant_id, contact.lead_id, None, entries)
    await lead_answers.record(tx, LeadNews([new_answer], [change]))
    present_answers = {item["key"]: item.get("answer") for item in contact.questionnaire}
    if present_answers.get(key) != answer:
        await timeline.tell_answer(tx, caller.author, thread.key, questions[key], answer)
