"""The commands with their options."""

import argparse
from collections.abc import Callable
from pathlib import Path

from app.cli import agents, examples, imports, moves, processes, tenants, trials, upkeep
from app.domain.words import PERSON_ROLES
from app.settings import Settings

KEY_SCOPES = ("admin", "api", "agent", "read")
TENANT_HELP = "the organization, as `tenant create` printed its id"


class VersionAction(argparse.Action):
    """Prints the version and ends. It is looked up then: no other command waits for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from app.version import find_version

        print(f"leadsail-sms {find_version()}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="leadsail-sms", description="LeadSail SMS")
    parser.add_argument("--version", action=VersionAction, nargs=0, help="which version this is")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(
        subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
        name: str,
        does: Callable[[Settings, argparse.Namespace], int],
        about: str,
    ) -> argparse.ArgumentParser:
        parser = subparsers.add_parser(name, help=about, description=about)
        parser.set_defaults(does=does)
        return parser

    def add_import_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a CSV file with a header line")
        parser.add_argument("--tenant", required=True, metavar="ID", help=TENANT_HELP)
        parser.add_argument(
            "--dry-run", action="store_true", help="report what the import would do, and change nothing"
        )
        parser.add_argument("--json", action="store_true", help="report everything as JSON on stdout")

    def add_group(name: str, about: str) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
        parser = commands.add_parser(name, help=about, description=about)
        return parser.add_subparsers(required=True, metavar="VERB")

    add_command(commands, "up", processes.run_up, "start everything in one terminal, with a demo")
    add_command(commands, "web", processes.run_web, "run one web process")
    add_command(
        commands,
        "mcp",
        processes.run_mcp,
        "run one web process that loads its tools for assistants, at /mcp, when it starts",
    )
    worker_parser = add_command(commands, "worker", processes.run_worker, "run one worker")
    worker_parser.add_argument("--drain", action="store_true", help="do what is due, then end")
    add_command(commands, "migrate", upkeep.migrate_database, "migrate the database to the newest schema")
    add_command(
        commands,
        "restored",
        upkeep.settle_restored,
        "run after a restore, before any worker: unsent texts are looked up before they are sent",
    )
    add_command(commands, "reseal", upkeep.reseal_secrets, "seal all secrets again with the first of SECRET_KEYS")
    figures_parser = add_command(
        commands, "figures", upkeep.count_figures, "count what changed since the figures were last counted"
    )
    figures_parser.add_argument("--rebuild", action="store_true", help="count every hour of every tenant anew")
    doctor_parser = add_command(commands, "doctor", upkeep.run_doctor, "check the installation and say what is wrong")
    doctor_parser.add_argument("--offline", action="store_true", help="do not ask the carriers")
    tenant_group = add_group("tenant", "manage organizations")
    tenant_parser = add_command(
        tenant_group,
        "create",
        tenants.create_tenant,
        "create a tenant and its first key",
    )
    tenant_parser.add_argument("--name", required=True, help="what the organization is called")
    for name, does, about in (
        ("export", moves.export_tenant, "write all rows of a tenant into a new file, as they are at this moment"),
        (
            "move",
            moves.move_tenant,
            "move a tenant to another cell, with all that it has; it is served meanwhile but for a moment",
        ),
        ("delete", moves.delete_tenant, "delete a tenant with all that it has, and say what that was"),
    ):
        add_command(tenant_group, name, does, about).add_argument(
            "--tenant", required=True, metavar="ID", help=TENANT_HELP
        )
    tenant_group.choices["export"].add_argument("file", type=Path, help="the new file; its secrets stay sealed")
    tenant_group.choices["move"].add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="a file that holds the DATABASE_URL of the other cell"
    )
    tenant_group.choices["move"].add_argument(
        "--haproxy",
        type=Path,
        metavar="SOCKET",
        help="the admin socket of a HAProxy that is to learn where the tenant is",
    )
    tenant_group.choices["move"].add_argument(
        "--route", metavar="BACKEND", help="the other cell's name there (with --haproxy)"
    )
    tenant_group.choices["delete"].add_argument(
        "--yes", action="store_true", help="without it, nothing is deleted and the rows are only counted"
    )
    tenant_import_parser = add_command(
        tenant_group, "import", moves.import_tenant, "store a tenant that another cell exported, all of it or nothing"
    )
    tenant_import_parser.add_argument("file", type=Path, help="what `tenant export` wrote")
    key_parser = add_command(
        add_group("key", "manage API keys"), "create", tenants.create_key, "create an API key, which is shown once"
    )
    key_parser.add_argument("--tenant", required=True, metavar="ID", help=TENANT_HELP)
    key_parser.add_argument("--name", required=True, help="what the key is for, as people read it in the list of keys")
    key_parser.add_argument(
        "--scope", choices=KEY_SCOPES, default="api", help="what the key may do; default: api, which sends and reads"
    )
    key_parser.add_argument("--agent", metavar="ID", help="the agent that the key belongs to; with --scope agent")
    user_parser = add_command(
        add_group("user", "manage people who sign in"),
        "create",
        tenants.create_user,
        "create a person who may sign in",
    )
    user_parser.add_argument("--tenant", required=True, metavar="ID", help=TENANT_HELP)
    user_parser.add_argument("--email", required=True, help="the address to sign in with")
    user_parser.add_argument(
        "--password-stdin", required=True, action="store_true", help="the first line of stdin is the password"
    )
    user_parser.add_argument(
        "--role", choices=PERSON_ROLES, help="default: admin for the tenant's first person, else member"
    )
    leads_parser = add_command(
        add_group("leads", "import leads from elsewhere"),
        "import",
        imports.import_leads,
        "import leads from a CSV file; of a known lead only the columns of the file are changed, and an empty cell"
        " changes nothing",
    )
    add_import_options(leads_parser)
    leads_parser.add_argument(
        "--campaign",
        metavar="ID",
        help="the campaign of all rows, for new and known leads; overrides the column campaignId",
    )
    suppressions_parser = add_command(
        add_group("suppressions", "import opt-outs from elsewhere"),
        "import",
        imports.import_suppressions,
        "import phones that opted out, from a CSV file",
    )
    add_import_options(suppressions_parser)
    suppressions_parser.add_argument("--reason", help="why these phones may not be texted, for whoever asks later")
    examples_parser = add_command(
        add_group("examples", "export what people decided"),
        "export",
        examples.export_examples,
        "print the texts of which people decided whether they are opt-outs, as tab-separated values",
    )
    examples_parser.add_argument("--tenant", required=True, metavar="ID", help=TENANT_HELP)
    new_agent_parser = add_command(
        add_group("agent", "begin an agent"),
        "new",
        agents.write_agent,
        "write a small agent that answers, to begin with",
    )
    new_agent_parser.add_argument(
        "file", nargs="?", type=Path, metavar="PATH", help="where to; default: agent.py or agent.ts, in this folder"
    )
    language = new_agent_parser.add_mutually_exclusive_group()
    language.add_argument("--typescript", action="store_true", help="in TypeScript instead of Python")
    language.add_argument("--openai", action="store_true", help="in Python, with a chat API that speaks as OpenAI's")
    dev_parser = add_command(commands, "dev", agents.run_dev, "write as the lead and see what your agent does")
    dev_parser.add_argument("--agent", required=True, metavar="URL", help="where your agent takes turns")
    dev_parser.add_argument(
        "--script", type=Path, metavar="FILE", help="play this YAML file, or all of a folder; ends with 1 if one fails"
    )
    dev_parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help="the file with the signing secret; without it, or if it is missing, dev makes one",
    )
    trial_parser = add_command(
        add_group("trial", "try an agent"),
        "run",
        trials.run_trial,
        "run a corpus against a candidate; ends with 1 if fewer pass than must",
    )
    trial_parser.add_argument("--corpus", required=True, metavar="NAME", help="name or id of the corpus")
    trial_parser.add_argument("--key-file", required=True, type=Path, metavar="FILE", help="the file with an API key")
    trial_parser.add_argument("--url", metavar="URL", help="the service; default: PUBLIC_BASE_URL, or this machine")
    trial_parser.add_argument("--agent", metavar="NAME", help="name or id of the agent whose secret signs; or the only")
    candidate = trial_parser.add_mutually_exclusive_group()
    candidate.add_argument("--webhook", metavar="URL", help="the candidate; default: the agent's own webhook")
    candidate.add_argument("--shadow", action="store_true", help="judge what the agent's shadow has answered")
    trial_parser.add_argument("--judge", metavar="URL", help="a webhook that says of each answer whether it passes")
    trial_parser.add_argument("--checks", type=Path, metavar="FILE", help="checks of all turns, as YAML or JSON")
    trial_parser.add_argument("--per-minute", type=int, default=120, metavar="N", help="turns a minute; default: 120")
    trial_parser.add_argument(
        "--fail-under", type=float, default=1.0, metavar="SHARE", help="the share that must pass; default: 1"
    )
    trial_parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit XML")
    lead_parser = add_command(commands, "lead", agents.run_lead, "chat as a lead of the demo that `up` runs")
    lead_parser.add_argument(
        "--as", dest="lead", required=True, metavar="NAME", help="first name or id of the lead, such as jane"
    )
    demo_parser = add_command(commands, "demo", processes.run_demo, "fill the demo tenant")
    demo_parser.add_argument("--story", action="store_true", help="play a whole conversation")
    return parser
