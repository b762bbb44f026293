"""A/B tests of agents: which run, a new one, and how the sides compare."""

from typing import Annotated

from fastapi import Form
from starlette.responses import Response

from app.commands import experiments as commands
from app.commands.directory import require_found
from app.domain.experiments import Side
from app.domain.problems import Problem
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import Experiment, SmsAgent
from app.web.experiments import ExperimentShape, NewExperiment, build_shape
from app.web.page import forms
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router, refuse_change, show_item
from app.web.page.settings.signing import SecretPage, add_rotation_route, store_secret
from app.web.paging import PageQuery

GROUPS = group_fields(
    Heading("A/B test"),
    Field("name", "Name", required=True, hint="What is different on side B."),
    Field("smsAgentId", "SMS agent", "choice", required=True, hint="Its own webhook is side A."),
    Field("webhookUrl", "Webhook of side B", required=True, hint="It is signed with a secret of its own."),
    Field("share", "Share of leads on side B", "decimal", required=True, hint="0.01 to 0.5. A lead keeps its side."),
)


def get_badge(shape: ExperimentShape) -> tuple[str, str]:
    return ("stopped", f"All leads go to {shape.kept_side.upper()}") if shape.kept_side else ("agent", "Running")


async def list_experiments(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await directory.list_page(
        read, Experiment, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
    )
    names = dict(await choices.list_agents(read, admin.tenant_id))
    return [
        Item(shape.experiment_id, shape.name, [names.get(shape.sms_agent_id, ""), shape.verdict], [get_badge(shape)])
        for shape in map(build_shape, rows)
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    groups = forms.with_choices(GROUPS, smsAgentId=await choices.list_agents(read, admin.tenant_id))
    values = {"share": "0.5", "smsAgentId": admin.request.query_params.get("agent", "")}
    about = "Both webhooks answer leads. It stops by itself when the leads of one side opt out more often."
    return FormPage("New A/B test", groups, values, about=about)


SECRET_PAGE = SecretPage(
    "experiments", "With this secret side B verifies that a turn comes from LeadSail SMS.", "the page of the A/B test"
)


async def start_experiment(admin: AdminRequest, form: SubmittedForm) -> Response:
    body = form.parse_body(NewExperiment)
    experiment_id, secret = await store_secret(
        admin,
        form,
        lambda tx, sealed_secret: commands.start(tx, admin.caller, body.model_dump(), sealed_secret),
        lambda row: row.experiment_id,
    )
    return SECRET_PAGE.show(admin, experiment_id, secret, f"{body.name} runs")


async def build_experiment_page(admin: AdminRequest, read: ReadTx, experiment_id: str) -> FormPage:
    row = require_found(await directory.get(read, Experiment, admin.tenant_id, experiment_id))
    agent = require_found(await directory.get(read, SmsAgent, admin.tenant_id, row.sms_agent_id))
    shape = build_shape(row)
    context = {"experiment": shape, "agent": agent, "state": get_badge(shape)}
    return FormPage(row.name, [], {}, template="experiment", context=context)


PAGE = SettingsPage(
    "experiments",
    about="Two webhooks of one agent answer leads, and their results are compared.",
    empty_text="No A/B test yet. Try a new version of an agent with a share of its leads.",
    add_label="Start an A/B test",
    list_items=list_experiments,
    build_new_page=build_new_page,
    build_item_page=build_experiment_page,
    add=start_experiment,
    change=refuse_change,
)
router = build_router(PAGE)
add_rotation_route(router, SECRET_PAGE, Experiment, lambda row: row.name)


@router.post("/{experiment_id}/stop")
async def stop_experiment(admin: AdminPost, experiment_id: str, keep: Annotated[Side, Form()] = "a") -> Response:
    try:
        await admin.run_change(lambda tx: commands.stop(tx, admin.caller, experiment_id, keep))
    except Problem as problem:
        return await show_item(admin, PAGE, experiment_id, problem)
    return redirect_back(f"experiments/{experiment_id}", "experiment-stopped")
