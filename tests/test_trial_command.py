"""`trial run`: what it reads, what it writes, and how long it waits for a service that is away."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.operations.trials import TrialOrder, run_trial
from app.settings import ConfigurationError

TALLY = {"settled": 1, "passed": 1, "same": 1, "failed": 0, "tooSlow": 0}


class Service(BaseHTTPRequestHandler):
    """Is away when it is asked for the trial the first time, and breaks off the second time."""

    looks = 0
    asked: dict[str, Any] = {}  # noqa: RUF012  # of the one server

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/trials/t1/results"):
            return self.say(200, {"results": [], "hasMore": False})
        if self.path.startswith("/api/v1/trials/t1"):
            Service.looks += 1
            if Service.looks == 1:
                return self.say(503, {})
            if Service.looks == 2:
                self.connection.close()
                return None
            return self.say(200, {"trialId": "t1", "state": "done", "tally": TALLY, "corpusId": "c1", "fault": None})
        listed_as, field = ("corpora", "corpusId") if "corpora" in self.path else ("smsAgents", "smsAgentId")
        return self.say(200, {listed_as: [{field: "x1", "name": "x"}], "hasMore": False})

    def do_POST(self) -> None:
        Service.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.say(201, {"trialId": "t1"})

    def say(self, status: int, data: Any) -> None:
        body = json.dumps({"data": data}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    Service.looks, Service.asked = 0, {}
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def order(folder: Path, report: Path) -> TrialOrder:
    (folder / "key").write_text("key")
    (folder / "checks.yaml").write_text("mustContain: [2026-11-29, 'Jane']\nmaxSegments: 2\n")
    return TrialOrder("x", None, None, False, "https://judge.example.com", folder / "checks.yaml", 120, 1.0, report)


def test_a_build_waits_for_a_service_that_is_away(url: str, tmp_path: Path) -> None:
    assert run_trial(url, tmp_path / "key", order(tmp_path, tmp_path / "report.xml")) == 0
    assert Service.looks == 3
    assert Service.asked["checks"] == {"mustContain": ["2026-11-29", "Jane"], "maxSegments": 2}
    assert Service.asked["judgeUrl"] == "https://judge.example.com"
    assert "<testsuite" in (tmp_path / "report.xml").read_text()


def test_a_report_that_cannot_be_written_is_said_before_the_trial(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--junit: .*No such file or directory"):
        run_trial(url, tmp_path / "key", order(tmp_path, tmp_path / "nowhere" / "report.xml"))
    assert Service.asked == {}
