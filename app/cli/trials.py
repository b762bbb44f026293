"""Trials of agents, for a continuous integration."""

import argparse

from app.settings import ConfigurationError, Settings


def run_trial(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import trials

    if not 0 <= options.fail_under <= 1:
        raise ConfigurationError("--fail-under: must be a share from 0 to 1, such as 0.95")
    order = trials.TrialOrder(
        corpus=options.corpus,
        agent=options.agent,
        webhook_url=options.webhook,
        of_shadow=options.shadow,
        judge_url=options.judge,
        checks_file=options.checks,
        per_minute=options.per_minute,
        fail_under=options.fail_under,
        junit_file=options.junit,
    )
    return trials.run_trial(options.url or configuration.base_url, options.key_file, order)
