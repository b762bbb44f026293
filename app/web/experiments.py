"""A/B tests: two webhooks of an agent, compared while they answer leads."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.commands import experiments as commands
from app.commands.directory import require_found, rotate_secret
from app.domain.experiments import SHARE_BOUNDS, Measure, Side, SideCount, compare, describe
from app.store import directory, experiments
from app.store.schema import Experiment
from app.web.dependencies import ApiCaller, AppResources, ReadCaller, TenantRead, TenantTx
from app.web.directory import list_rows
from app.web.envelope import Answer, AnyId, Body, Name, Out, make_optional_in_schema
from app.web.figures import Rate, build_rate
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.signing import ONCE_SHOWN, SigningSecret, answer_with_secret, make_signing_secret

router = APIRouter(prefix="/api/v1/experiments", tags=["Experiments"])
FIELD_BY_MEASURE: dict[Measure, str] = {"replied": "replied", "qualified": "qualified", "opted_out": "optedOut"}


class NewExperiment(Body):
    sms_agent_id: AnyId
    """Its own webhook is side A."""
    name: Name
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)]
    """Side B."""
    share: Annotated[float, Field(ge=SHARE_BOUNDS[0], le=SHARE_BOUNDS[1])] = SHARE_BOUNDS[1]
    """Of the leads that are on side B."""


class SideShape(Out):
    """What came of the leads that got a turn on this side. A lead counts once. Test leads do not count."""

    side: Side
    leads: int
    replied: int
    """They wrote after the agent had answered, not to opt out."""
    qualified: int
    """Their thread became qualified after their first turn."""
    opted_out: int
    """Their thread became `dnc` after their first turn."""
    rates: dict[str, Rate | None]
    """Each count as a share of `leads`, with Wilson's interval, which is right for one look."""


class FindingShape(Out):
    more: Side | None
    """The side whose leads do it more often; null: that is not sure yet."""
    low: float | None
    high: float | None
    """So many times as often B's leads do it as A's, at least and at most; null: no bound is known yet. One may look
    as often as one likes."""


class ExperimentShape(Out):
    experiment_id: str
    sms_agent_id: str
    name: str
    webhook_url: str
    share: float
    state: Literal["running", "stopped"]
    kept_side: Side | None
    """Where all leads go since it stopped."""
    reason: str | None
    """Why it stopped."""
    sides: list[SideShape]
    """As counted some seconds ago, or when it stopped."""
    comparison: dict[str, FindingShape]
    verdict: str
    """The comparison in words."""
    created_at: datetime
    stopped_at: datetime | None


class ExperimentWithSecret(ExperimentShape):
    model_config = ConfigDict(json_schema_extra=make_optional_in_schema(ONCE_SHOWN))
    signing_secret: str


class Experiments(Out):
    experiments: list[ExperimentShape]
    next_cursor: str | None
    has_more: bool


class StopBody(Body):
    keep: Side = "a"
    """Where all leads go from now on."""


def build_shape(experiment: Experiment) -> ExperimentShape:
    counts = experiments.read_counts(experiment)
    findings = {
        field: FindingShape.model_validate(compare(counts, measure, experiment.share))
        for measure, field in FIELD_BY_MEASURE.items()
    }
    return ExperimentShape.of(
        experiment,
        state="stopped" if experiment.kept_side else "running",
        sides=[_show_side(counts["a"]), _show_side(counts["b"])],
        comparison=findings,
        verdict=describe(counts, experiment.share),
    )


def _show_side(count: SideCount) -> SideShape:
    rates = {field: build_rate(count.get(measure), count.leads) for measure, field in FIELD_BY_MEASURE.items()}
    return SideShape(**asdict(count), rates=rates)


def _show_secret(experiment: Experiment, secret: SigningSecret) -> ExperimentWithSecret:
    return ExperimentWithSecret(**dict(build_shape(experiment)), signing_secret=secret.text)


@router.post("", status_code=201, summary="Start an A/B test; the answer shows the signing secret of side B once")
async def start_experiment(
    body: NewExperiment, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[ExperimentWithSecret]:
    """From now on each lead stays on one side: `share` of them get their turns at `webhookUrl`, which is signed with
    a secret of its own. An agent has one A/B test at a time. It stops by itself when the leads of one side opt out
    more often: then all go to the other."""
    secret = make_signing_secret(resources.seal)
    experiment = await commands.start(tx, caller, body.model_dump(), secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(experiment, secret), 201)


@router.get("", summary="A/B tests, newest first")
async def list_experiments(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Experiments]:
    return await list_rows(read, caller, page_query, Experiment, Experiments, build_shape)


@router.get("/{experiment_id}", summary="One A/B test, and how its sides compare")
async def get_experiment(experiment_id: str, caller: ReadCaller, read: TenantRead) -> Answer[ExperimentShape]:
    experiment = require_found(await directory.get(read, Experiment, caller.tenant_id, experiment_id))
    return Answer(data=build_shape(experiment))


@router.post("/{experiment_id}/rotate-secret", summary="Make a new secret; the old one signs for one more day")
async def rotate_experiment_secret(
    experiment_id: str, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[ExperimentWithSecret]:
    """It signs what side B gets."""
    secret = make_signing_secret(resources.seal)
    experiment = await rotate_secret(tx, caller, Experiment, experiment_id, secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(experiment, secret), 200)


@router.post("/{experiment_id}/stop", summary="Stop an A/B test: all leads go to one side")
async def stop_experiment(
    experiment_id: str, body: StopBody, caller: ApiCaller, tx: TenantTx
) -> Answer[ExperimentShape]:
    """One that has stopped may be stopped again, to keep the other side."""
    return Answer(data=build_shape(await commands.stop(tx, caller, experiment_id, body.keep)))
