"""Trials: which were run, a new one, and what a candidate answered beside what was recorded."""

import json
from typing import Any

from starlette.responses import Response

from app.commands import trials as commands
from app.commands.directory import require_found
from app.store import corpora, directory, trial_results
from app.store.engine import ReadTx
from app.store.schema import Corpus, SmsAgent, Trial
from app.store.trial_results import ResultRow
from app.web.page import forms, times
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router, refuse_change
from app.web.paging import PageQuery
from app.web.trials import NewTrial, TrialShape, build_fields, show_result, show_trials

SHOWN_RESULTS = 50
STATE_BADGES = {
    "running": ("agent", "Running"),
    "done": ("on", "Done"),
    "stopped": ("stopped", "Stopped"),
    "failed": ("failed", "Failed"),
}
OUTCOME_CHOICES = [
    ("recorded", "As it did then"),
    ("answered", "With an answer"),
    ("declined", "Without an answer"),
    ("handed_off", "With a hand-off to a person"),
]
GROUPS = group_fields(
    Heading("Trial"),
    Field("corpusId", "Corpus", "choice", required=True, hint="Its turns are posted once each."),
    Field("smsAgentId", "SMS agent", "choice", required=True, hint="Its secret signs the requests."),
    Field("webhookUrl", "Candidate's webhook", hint="If empty, the agent's own."),
    Field("ofShadow", "Judge what the agent's shadow has answered", "switch", hint="Then nothing is posted."),
    Field("perMinute", "Pace", "whole", unit="turns per minute", required=True),
    Heading("Checks", "What each answer must be like. What is empty is not checked."),
    Field("checks.mustContain", "It contains", "tags", hint="Separated by commas."),
    Field("checks.mustNotContain", "It does not contain", "tags", hint="Separated by commas."),
    Field("checks.maxSegments", "It has at most", "whole", unit="segments"),
    Field("checks.asksOneQuestion", "It asks exactly one question", "switch"),
    Field("checks.outcomeIs", "The turn ends", "choice", choices=OUTCOME_CHOICES),
    Field("judgeUrl", "Judge's webhook", hint="Gets each answer, and says whether it passes."),
)


async def list_trials(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await directory.list_page(read, Trial, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    names = dict(await corpora.list_names(read, admin.tenant_id))
    return [
        Item(
            shape.trial_id,
            names.get(shape.corpus_id, shape.corpus_id),
            [_summarize(shape), times.format_when(shape.created_at, times.get_zone(admin.request)), _describe(shape)],
            [STATE_BADGES[shape.state]],
        )
        for shape in await show_trials(read, admin.tenant_id, rows)
    ]


def _summarize(shape: TrialShape) -> str:
    tally = shape.tally
    return f"{tally.passed:,} of {tally.settled:,} passed" if tally.settled else f"{tally.turns:,} turns"


def _describe(shape: TrialShape) -> str:
    return "the agent's shadow" if shape.of_shadow else shape.webhook_url or ""


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    names = await corpora.list_names(read, admin.tenant_id)
    groups = forms.with_choices(GROUPS, corpusId=names, smsAgentId=await choices.list_agents(read, admin.tenant_id))
    about = "Each answer is caught and judged. Nothing is sent."
    if not names:
        about += " There is no corpus yet: open a turn in a conversation, and keep it for trials."
    return FormPage("New trial", groups, {"perMinute": "120"}, about=about)


async def start_trial(admin: AdminRequest, form: SubmittedForm) -> Response:
    plain = {name: value for name, value in form.get_plain_values().items() if value is not None}
    fields = build_fields(forms.parse_body(NewTrial, plain))
    trial_id, _ = await admin.run_once(
        form, lambda tx: commands.start(tx, admin.caller, fields), lambda trial: trial.trial_id
    )
    return redirect_back(f"trials/{trial_id}", "added")


async def build_trial_page(admin: AdminRequest, read: ReadTx, trial_id: str) -> FormPage:
    trial = require_found(await directory.get(read, Trial, admin.tenant_id, trial_id))
    [shape] = await show_trials(read, admin.tenant_id, [trial])
    corpus = require_found(await directory.get(read, Corpus, admin.tenant_id, trial.corpus_id))
    agent = require_found(await directory.get(read, SmsAgent, admin.tenant_id, trial.sms_agent_id))
    params = admin.request.query_params
    has_passed = {"failed": False, "passed": True}.get(params.get("show", ""))
    rows = await trial_results.list_results(
        read, admin.tenant_id, trial_id, has_passed, params.get("after") or None, SHOWN_RESULTS + 1
    )
    context = {
        "trial": shape,
        "agent": agent,
        "candidate": _describe(shape) or f"{agent.name}’s webhook",
        "state": STATE_BADGES[shape.state],
        "show": params.get("show", ""),
        "pairs": [(_read_texts(row), show_result(row)) for row in rows[:SHOWN_RESULTS]],
        "after": rows[SHOWN_RESULTS - 1].corpus_turn_id if len(rows) > SHOWN_RESULTS else None,
    }
    return FormPage(corpus.name, [], {}, template="trial", context=context)


def _read_texts(row: ResultRow) -> str:
    """What the lead had written."""
    payload: Any = json.loads(row.payload)
    message = payload.get("message")
    text = message.get("combinedText") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


PAGE = SettingsPage(
    "trials",
    about="Kept turns are handed to a candidate, and its answers are judged. Nothing is sent.",
    empty_text="No trial was run yet.",
    add_label="Run a trial",
    list_items=list_trials,
    build_new_page=build_new_page,
    build_item_page=build_trial_page,
    add=start_trial,
    change=refuse_change,
)
router = build_router(PAGE)


@router.post("/{trial_id}/stop")
async def stop_trial(admin: AdminPost, trial_id: str) -> Response:
    await admin.run_change(lambda tx: commands.stop(tx, admin.caller, trial_id))
    return redirect_back(f"trials/{trial_id}", "stopped")
