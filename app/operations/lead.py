"""`lead`: a terminal in which somebody writes as a lead of the demo that `up` runs."""

import signal
from collections.abc import Mapping
from typing import Any

from app.demo.data import Api, Demo
from app.dev.conversation import Conversation, DevError
from app.dev.terminal import Terminal
from app.operations.up import find_running_demo, raise_interrupt
from app.settings import ConfigurationError, Settings


def run_lead(settings: Settings, name: str) -> int:
    """Runs the terminal until `:quit`, Ctrl-D, Ctrl-C or SIGTERM (status 0). Raises `ConfigurationError`."""
    signal.signal(signal.SIGTERM, raise_interrupt)
    demo = find_running_demo(settings)
    if demo is None:
        raise ConfigurationError(f"no demo runs with {settings.data_dir}: start `up` first, in another terminal")
    api = Api(demo.addresses.api, demo.api_key)
    lead_fields = _find_lead(api, name)
    names = [lead_fields[field] for field in ("firstName", "lastName") if lead_fields[field]]
    name = " ".join(names) or lead_fields["leadId"]
    print(f"You are {name}, {lead_fields['phone']}. :help lists the commands.", flush=True)
    try:
        Terminal(_start_once(api, demo, lead_fields), settings.data_dir / "lead.history").run()
    except KeyboardInterrupt:
        pass
    return 0


def _find_lead(api: Api, name: str) -> Mapping[str, Any]:
    leads = api.call("GET", "/leads?limit=100")["leads"]
    for lead_fields in leads:
        if name.casefold() in (lead_fields["leadId"].casefold(), (lead_fields["firstName"] or "").casefold()):
            return lead_fields  # type: ignore[no-any-return]
    names = ", ".join(sorted(lead_fields["firstName"] or lead_fields["leadId"] for lead_fields in leads))
    raise ConfigurationError(f"--as: no lead is called {name}; there are {names}")


def _start_once(api: Api, demo: Demo, lead_fields: Mapping[str, Any]) -> Any:
    conversations = iter([Conversation(api, demo.addresses.carrier, known_fields=lead_fields)])

    def start() -> Conversation:
        conversation = next(conversations, None)
        if conversation is None:
            raise DevError(
                f"you are {lead_fields['firstName'] or lead_fields['leadId']}; :quit, and begin again with another --as"
            )
        return conversation

    return start
