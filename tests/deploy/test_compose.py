"""`compose.yaml`: what it sets up is what the image and the settings know."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from app import settings
from app.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "web", "worker")
GIVEN = {
    "POSTGRES_PASSWORD": "a-password", "SECRET_KEYS": "A" * 43, "METRICS_TOKEN": "a-token",
    "PUBLIC_BASE_URL": "https://sms.example",
}  # fmt: skip
"""What the operator must give."""


def filled(text: str) -> str:
    """As compose fills it in. No variable may be required in the file: the demo would need it, too."""
    assert ":?}" not in text
    return re.sub(r"\$\{(\w+):-\}", lambda found: GIVEN.get(found[1], ""), text)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(filled((ROOT / "compose.yaml").read_text()))["services"]
    return found


def test_it_sets_up_both_databases_the_migration_web_and_worker(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "production" in service["profiles"]} == {
        "postgres",
        "valkey",
        *OURS,
    }


def test_the_demo_needs_no_variable_and_starts_nothing_of_production(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "compose.yaml").read_text()
    services = yaml.safe_load(re.sub(r"\$\{\w+:-\}", "", text))["services"]
    assert {name for name, service in services.items() if "demo" in service["profiles"]} == {
        "demo-postgres",
        "valkey",
        "demo",
    }
    for variable in Settings.model_fields:
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable, value in services["demo"]["environment"].items():
        monkeypatch.setenv(variable, value)
    configuration = settings.load()
    assert not configuration.is_production
    assert str(configuration.data_dir).startswith(services["demo"]["tmpfs"][0])


def test_a_worker_is_asked_whether_it_lives(services: dict[str, Any]) -> None:
    assert services["worker"]["environment"]["METRICS_PORT"]
    assert "healthcheck" not in services["worker"]


def test_our_containers_cannot_write_and_wait_for_what_they_need(services: dict[str, Any]) -> None:
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["tmpfs"] == ["/tmp"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", "worker"):
        needs = services[name]["depends_on"]
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
        assert needs["valkey"] == {"condition": "service_healthy"}
        assert services[name]["restart"] == "unless-stopped"


def test_the_databases_say_whether_they_are_well(services: dict[str, Any]) -> None:
    assert services["postgres"]["healthcheck"]["test"][1] == "pg_isready"
    assert services["valkey"]["healthcheck"]["test"][1:] == ["valkey-cli", "ping"]


def test_a_stop_gives_running_work_the_time_that_it_takes(services: dict[str, Any]) -> None:
    from app.cli.processes import STOP_SECONDS
    from app.jobs.loops import DRAIN_SECONDS

    def seconds(name: str) -> int:
        return int(services[name]["stop_grace_period"].removesuffix("s"))

    assert seconds("web") > STOP_SECONDS
    assert seconds("worker") > DRAIN_SECONDS


def test_every_variable_is_known_and_production_starts_with_them(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    [image] = re.findall(r"^ENV (.+)$", dockerfile, re.M)
    of_image = dict(pair.split("=", 1) for pair in image.split())
    known = {name.upper() for name in Settings.model_fields}
    for name in OURS:
        given = services[name]["environment"]
        assert set(given) <= known
        ours = {k: str(v) for k, v in (of_image | given).items() if k in known}
        with monkeypatch.context() as patched:
            for variable in known:
                patched.delenv(variable, raising=False)
            for variable, value in ours.items():
                patched.setenv(variable, value)
            assert settings.load().is_production
    ports = services["web"]["ports"]
    assert ports == [f"{Settings.model_fields['port'].default}:8000"]


def test_the_image_runs_as_nobody_in_particular() -> None:
    """In its last stage, after everything was copied; compose changes no user."""
    dockerfile = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (\d+)$", dockerfile, re.M)
    assert len(user) == 1
    assert int(user[0]) > 0
    assert "COPY" not in dockerfile.partition("USER")[2]
    assert "user:" not in (ROOT / "compose.yaml").read_text()
