"""The terminal: a line is a text of the lead, and what happens is printed as it happens."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from app.dev.changes import describe_changes
from app.dev.conversation import Conversation, DevError, Snapshot

PROMPT = "lead> "
LOOK_SECONDS = 0.15
PIPED_LINE_SECONDS = 60.0
"""How long a line that was piped in may take until the agent has finished."""
HISTORY_LENGTH = 500
MODES = {"on": True, "off": False}
HELP = """Write as the lead; the agent gets what you write within one second.

  :status      what the conversation has come to
  :payload     the newest JSON that was posted to the agent
  :mode on     agent mode on; `:mode off` switches it off
  :release     decide, as a person would, that a text which is held is no wish to opt out
  :new         begin again with a new lead
  :help        this help
  :quit        end; so do Ctrl-D and Ctrl-C"""


class Terminal:
    """A terminal session: one conversation at a time."""

    def __init__(self, start_conversation: Callable[[], Conversation], history_file: Path) -> None:
        self._start_conversation = start_conversation
        self._conversation = start_conversation()
        self._history_file = history_file
        self._snapshot = self._conversation.take_snapshot()
        self._lock = threading.RLock()
        self._is_ended = threading.Event()
        self._is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._readline = _load_readline() if self._is_interactive else None
        self._is_reading = False
        self._commands: dict[str, Callable[[str], None]] = {
            ":status": self._show_status,
            ":payload": self._show_payload,
            ":mode": self._set_mode,
            ":release": self._release_held_text,
            ":new": self._begin_anew,
            ":help": self._show_help,
        }

    def run(self) -> None:
        """Reads lines until `:quit`, Ctrl-D or Ctrl-C."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        self._load_history()
        watcher.start()
        try:
            while self._read_and_obey():
                if not self._is_interactive:
                    self._wait_until_settled()
        except (KeyboardInterrupt, EOFError):
            if self._is_interactive:
                print()
        finally:
            self._is_ended.set()
            watcher.join(LOOK_SECONDS * 10)
            self._save_history()
            with suppress(RuntimeError, httpx.HTTPError, DevError):
                self._conversation.close()

    def _read_and_obey(self) -> bool:
        """Obeys one line. Returns whether there may be more. Raises `EOFError`."""
        self._is_reading = True
        try:
            line = input(PROMPT if self._is_interactive else "").strip()
        finally:
            self._is_reading = False
        if line == ":quit":
            return False
        if not line:
            return True
        try:
            self._obey(line)
        except DevError as error:
            self._print_line(str(error))
        except (RuntimeError, httpx.HTTPError) as error:
            self._print_line(f"the service does not answer as it should: {error}")
        return True

    def _obey(self, line: str) -> None:
        if not line.startswith(":"):
            if not self._is_interactive:
                self._print_line(f"{PROMPT}{line}")
            self._conversation.write([line])
            return
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            raise DevError(f"{name} is no command; :help lists them")
        command(argument.strip())

    def _show_status(self, _: str) -> None:
        snapshot = self._conversation.take_snapshot()
        if not snapshot.interaction:
            raise DevError("the lead has not written yet")
        state = snapshot.interaction["agentState"]
        self._print_line(f"status: {snapshot.status}, agent mode {'on' if snapshot.is_agent_mode_on else 'off'}")
        self._print_line(f"agent: {state['state']}{': ' if state['reason'] else ''}{state['reason'] or ''}")
        if snapshot.interaction["summary"]:
            self._print_line(f"summary: {snapshot.interaction['summary']}")
        for key, answer in snapshot.answers.items():
            self._print_line(f"answer: {key} = {answer!r}")

    def _show_payload(self, _: str) -> None:
        payload = self._conversation.take_snapshot().payload
        if payload is None:
            raise DevError("nothing has been posted to the agent yet")
        self._print_line(json.dumps(json.loads(payload), indent=2, ensure_ascii=False))

    def _set_mode(self, argument: str) -> None:
        if argument not in MODES:
            raise DevError("write :mode on or :mode off")
        self._conversation.switch_agent_mode(MODES[argument])

    def _release_held_text(self, _: str) -> None:
        self._conversation.release_held_text()

    def _begin_anew(self, _: str) -> None:
        with self._lock:
            new_conversation = self._start_conversation()
            self._conversation.close()
            self._conversation = new_conversation
            self._snapshot = Snapshot()
        self._print_line(f"a new lead, {self._conversation.phone}")

    def _show_help(self, _: str) -> None:
        self._print_line(HELP)

    def _watch(self) -> None:
        """Prints what happens, until the end. A service that does not answer is asked again."""
        while not self._is_ended.wait(LOOK_SECONDS):
            with suppress(RuntimeError, httpx.HTTPError):
                self._look()

    def _look(self) -> None:
        with self._lock:
            snapshot = self._conversation.take_snapshot()
            for line in describe_changes(self._snapshot, snapshot):
                self._print_line(line)
            self._snapshot = snapshot

    def _wait_until_settled(self) -> None:
        deadline = time.monotonic() + PIPED_LINE_SECONDS
        while time.monotonic() < deadline:
            self._look()
            if self._snapshot.is_settled:
                return
            time.sleep(LOOK_SECONDS)

    def _print_line(self, line: str) -> None:
        """Prints above the line that is being written, and shows that line again below."""
        with self._lock:
            if not (self._is_reading and self._readline):
                print(line, flush=True)
                return
            begun_line = PROMPT + self._readline.get_line_buffer()
            rows_above = max(0, len(begun_line) - 1) // shutil.get_terminal_size().columns
            go_up = f"\x1b[{rows_above}A" if rows_above else ""
            sys.stdout.write(f"{go_up}\r\x1b[J{line}\n{begun_line}")
            sys.stdout.flush()

    def _load_history(self) -> None:
        if self._readline:
            with suppress(OSError):
                self._readline.read_history_file(self._history_file)

    def _save_history(self) -> None:
        if self._readline:
            self._readline.set_history_length(HISTORY_LENGTH)
            with suppress(OSError):
                self._history_file.touch(mode=0o600)
                self._readline.write_history_file(self._history_file)


def _load_readline() -> Any:
    """The module for editing lines; None where Python has none."""
    try:
        import readline
    except ImportError:
        return None
    return readline
