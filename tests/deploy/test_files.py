"""`deploy/`: each file is loaded by the engine it is for where that is installed, and compared with the service."""

import json
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from prometheus_client import REGISTRY

import app
from app import main, worker
from app.cli.processes import STOP_SECONDS
from app.jobs.loops import DRAIN_SECONDS
from app.settings import SECRET_VARIABLES, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROCESSES = (main, worker)
"""Importing them registers what they measure."""
KINDS = {
    "web": {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "ServiceMonitor",
    },
    "worker": {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "PodMonitor"},
    "migrate": {"Job", "NetworkPolicy"},
}


def run_tool(name: str, *arguments: str) -> str:
    tool = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if not tool:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def list_objects() -> list[dict[str, Any]]:
    base = DEPLOY / "kustomize" / "base"
    files = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    return list(chain.from_iterable(yaml.safe_load_all((base / file).read_text()) for file in files))


def list_measured_names() -> set[str]:
    """The names of all series of `/metrics`, of a web process and of a worker."""
    series = {each.name for each in REGISTRY.collect() if each.name.startswith("leadsail_")}
    types = {each.name: each.type for each in REGISTRY.collect()}
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    source = (ROOT / "app" / "web" / "metrics.py").read_text()
    owed = {f"leadsail_{name}" for name in re.findall(r'gauge\(\s*"(\w+)"', source)}
    return owed | {f"{name}{ending}" for name in series for ending in endings[types[name]]}


@pytest.mark.parametrize("file", ["haproxy.cfg", "cells.cfg"])
def test_haproxy_takes_its_configuration(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DEPLOY / "haproxy")
    run_tool("haproxy", "-c", "-f", file)


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    folders = " ".join(f"{kind}_temp_path {tmp_path};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = f"access_log off; {folders} include {DEPLOY / 'nginx' / 'leadsail.conf'};"
    file.write_text(f"error_log stderr; pid {tmp_path}/pid; events {{}} http {{ {server} }}")
    run_tool("nginx", "-t", "-c", str(file))


def test_prometheus_takes_the_alerts() -> None:
    run_tool("promtool", "check", "rules", str(Path(app.__file__).parent / "alerts.yaml"))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run_tool("hadolint", str(ROOT / "Dockerfile"))


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = sorted((DEPLOY / "systemd").glob("*.service"))
    assert [unit.stem for unit in units] == ["leadsail-migrate", "leadsail-web", "leadsail-worker"]
    for unit in units:  # it looks whether the program is there
        text = unit.read_text().replace("/opt/leadsail/venv/bin/leadsail-sms", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    said = run_tool("systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units))
    assert not [line for line in said.splitlines() if "leadsail" in line]


def test_kustomize_builds_all_objects() -> None:
    built = list(yaml.safe_load_all(run_tool("kubectl", "kustomize", str(DEPLOY / "kustomize" / "base"))))
    named = {(each["kind"], each["metadata"]["name"].split("-")[0]) for each in built}
    assert named == {(kind, name) for name, kinds in KINDS.items() for kind in kinds} | {("ConfigMap", "leadsail")}


def test_the_pods_run_our_commands_with_variables_that_there_are_and_as_the_images_user() -> None:
    known = {name.upper() for name in Settings.model_fields} | {f"{name}_FILE" for name in SECRET_VARIABLES}
    base = yaml.safe_load((DEPLOY / "kustomize" / "base" / "kustomization.yaml").read_text())
    shared = dict(line.split("=", 1) for line in base["configMapGenerator"][0]["literals"])
    pods = {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in list_objects() if "template" in o["spec"]}
    assert pods.keys() == KINDS.keys()
    [user] = re.findall(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    for name, pod in pods.items():
        [container] = pod["containers"]
        assert container["args"] == ["python", "-m", "app", name]
        assert pod["securityContext"]["runAsUser"] == int(user)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        variables = shared | {each["name"]: each["value"] for each in container.get("env", [])}
        assert set(variables) <= known
        [mount] = [each for each in container["volumeMounts"] if each["name"] == "secrets"]
        files = [value for variable, value in variables.items() if variable.endswith("_FILE")]
        assert all(file.startswith(f"{mount['mountPath']}/") for file in files)
    lingers = int(pods["web"]["containers"][0]["env"][0]["value"])
    assert pods["web"]["terminationGracePeriodSeconds"] > lingers + STOP_SECONDS
    assert pods["worker"]["terminationGracePeriodSeconds"] > DRAIN_SECONDS
    [port] = pods["worker"]["containers"][0]["ports"]
    assert pods["worker"]["containers"][0]["env"] == [{"name": "METRICS_PORT", "value": str(port["containerPort"])}]


def test_autoscalers_dashboard_and_alerts_name_figures_that_there_are() -> None:
    measured = list_measured_names()
    dashboard = (DEPLOY / "grafana" / "leadsail.json").read_text()
    scaled = [o for o in list_objects() if o["kind"] == "HorizontalPodAutoscaler"]
    for text in (dashboard, json.dumps(scaled), (Path(app.__file__).parent / "alerts.yaml").read_text()):
        assert set(re.findall(r"leadsail_\w+", text)) - measured == set()
    shown = set(re.findall(r"leadsail_\w+", dashboard))
    endings = re.compile(r"_(total|bucket|count|sum)$")
    assert {endings.sub("", name) for name in measured} == {endings.sub("", name) for name in shown}
    panels = json.loads(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["targets"] for panel in panels)


def test_each_alert_has_a_severity_and_a_section_of_the_runbook_that_is_there() -> None:
    groups = yaml.safe_load((Path(app.__file__).parent / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.M)
    assert [rule["alert"] for rule in rules] == headings
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["runbook_url"].endswith(f"/guide/runbook#{rule['alert'].lower()}")
        assert rule["annotations"]["summary"]
