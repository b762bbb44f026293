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
    lead = _find_lead(api, name)
    print(f"You are {lead['firstName']} {lead['lastName']}, {lead['phone']}. :help lists the commands.", flush=True)
    try:
        Terminal(_start_once(api, demo, lead), settings.data_dir / "lead.history").run()
    except KeyboardInterrupt:
        pass
    return 0


def _find_lead(api: Api, name: str) -> Mapping[str, Any]:
    leads = api.call("GET", "/leads?limit=100")["leads"]
    for lead in leads:
        if name.casefold() in (lead["leadId"].casefold(), (lead["firstName"] or "").casefold()):
            return lead  # type: ignore[no-any-return]
    names = ", ".join(sorted(lead["firstName"] or lead["leadId"] for lead in leads))
    raise ConfigurationError(f"--as: no lead is called {name}; there are {names}")


def _start_once(api: Api, demo: Demo, lead: Mapping[str, Any]) -> Any:
    conversations = iter([Conversation(api, demo.addresses.carrier, known_lead=lead)])

    def start() -> Conversation:
        conversation = next(conversations, None)
        if conversation is None:
            raise DevError(f"you are {lead['firstName']}; :quit, and begin again with another --as")
        return conversation

    return start
