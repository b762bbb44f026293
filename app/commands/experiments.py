"""A/B tests of agents: start, stop, and stop by themselves when one side's leads opt out more often."""

from dataclasses import asdict

import structlog

from app.commands.directory import Fields, add_row, lock_row, require_found, require_known, require_url
from app.domain.callers import Caller
from app.domain.experiments import Side, describe_opt_outs, find_safer_side
from app.domain.problems import AlreadyExists
from app.store import directory, experiments
from app.store.engine import Database, Tx
from app.store.schema import Experiment, SmsAgent

HAND_REASON = "stopped by hand"
log = structlog.get_logger("experiments")


async def start(tx: Tx, caller: Caller, fields: Fields, sealed_secret: bytes) -> Experiment:
    """From now on a share of the agent's leads is on side B; `sealed_secret` signs for it. Raises `Invalid`, and
    `AlreadyExists` while another experiment of the agent is in force."""
    require_url(fields["webhook_url"], "webhookUrl")
    await require_known(tx, caller.tenant_id, Experiment, {"sms_agent_id": fields["sms_agent_id"]})
    await _require_free(tx, caller, fields["sms_agent_id"], None)
    return await add_row(tx, caller, Experiment, "experiment", {**fields, "secret": sealed_secret})


async def stop(tx: Tx, caller: Caller, experiment_id: str, kept_side: Side) -> Experiment:
    """From now on all leads go to one side; one that has stopped may be given the other side. Raises `NotFound`, and
    `AlreadyExists` for side B while another experiment of the agent is in force."""
    experiment = require_found(await directory.get(tx, Experiment, caller.tenant_id, experiment_id))
    if kept_side == "b":
        await _require_free(tx, caller, experiment.sms_agent_id, experiment_id)
    return require_found(await experiments.stop(tx, caller.tenant_id, experiment_id, kept_side, HAND_REASON))


async def _require_free(tx: Tx, caller: Caller, sms_agent_id: str, except_id: str | None) -> None:
    """Locks the agent: experiments of one agent start one after the other."""
    await lock_row(tx, caller, SmsAgent, sms_agent_id)
    other = await experiments.get_of_agent(tx, caller.tenant_id, sms_agent_id)
    if other and other.kept_side != "a" and other.experiment_id != except_id:
        details = ["smsAgentId: has another A/B test; stop it and keep side A first"]
        raise AlreadyExists("This agent has an A/B test that is in force.", details=details)


async def look_at_next(database: Database) -> bool:
    """Counts the experiment that is due, and stops it if that is sure; whether there was one."""
    async with database.system_tx() as tx:
        experiment = await experiments.claim_due(tx)
    if experiment is None:
        return False
    # Nothing is locked while it is counted, and one that cannot be counted holds up no other.
    async with database.system_tx(plan_now=True) as tx:
        counts = await experiments.count_sides(tx, experiment)
        kept_side = find_safer_side(counts, experiment.share)
        reason = describe_opt_outs(counts, experiment.share) if kept_side else None
        shown_counts = [asdict(count) for count in counts.values()]
        is_recorded = await experiments.record_look(tx, experiment, shown_counts, kept_side, reason)
    if kept_side and is_recorded:
        log.info("experiment stopped", experiment_id=experiment.experiment_id, kept_side=kept_side)
    return True
