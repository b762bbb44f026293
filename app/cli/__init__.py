"""The command line: `python -m app COMMAND`, installed as `leadsail-sms COMMAND`.

A module that only one command needs is imported by that command: `up` starts several processes and
must not wait for imports that they do not use.
"""

import sys

import asyncpg

from app import log, settings
from app.access.sealing import Unsealable
from app.cli.parser import build_parser
from app.cli.results import INTERRUPTED_STATUS, CommandError
from app.domain.problems import Problem, Unavailable
from app.settings import ConfigurationError


def run_command(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status. A failure is one line on stderr."""
    options = build_parser().parse_args(arguments)
    try:
        configuration = settings.load()
        log.configure(configuration.is_production, configuration.log_level)
        status: int = options.does(configuration, options)
    except ConfigurationError as error:
        return _print_failure(str(error), 2)
    except CommandError as error:
        return _print_failure(str(error), 1)
    except Unsealable:
        return _print_failure("none of SECRET_KEYS opens the sealed secrets: add the key that sealed them", 2)
    except Unavailable:
        return _print_failure("the database at DATABASE_URL is unavailable", 1)
    except asyncpg.PostgresError as error:
        return _print_failure(f"the database refused a statement: {error}", 1)
    except Problem as problem:
        return _print_failure(" ".join([problem.message, *problem.details]), 1)
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return status


def main() -> None:
    sys.exit(run_command())


def _print_failure(why: str, status: int) -> int:
    print(f"leadsail-sms: {why}", file=sys.stderr)
    return status
