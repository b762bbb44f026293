"""The bill of materials: the packages that a lock pins, as CycloneDX JSON. `make sbom` writes that of
`requirements.lock`, and the Dockerfile that of what it installed.

What the image holds is `required`; what only tests and tools need is `excluded`.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Set
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS_OF_IMAGE = ("mcp", "traces")
PIN_PATTERN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;]+)")
HASH_PATTERN = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def build_bom(lock: str) -> str:
    """The packages of a lock as CycloneDX JSON. Raises `ValueError` for a line that is no pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS_OF_IMAGE for line in extras[extra])]
    wanted = [Requirement(line) for line in lines]
    needs = find_needs(wanted)
    components = list(list_components(lock, needs.keys()))
    needs = find_needs([*wanted, *(Requirement(component.name) for component in components)])
    bom = Bom(components=components)
    bom.metadata.component = product = Component(
        name=project["name"], version=project["version"], type=ComponentType.APPLICATION, bom_ref=project["name"]
    )
    direct = {canonicalize_name(requirement.name) for requirement in wanted}
    for needing in (product, *components):
        names = direct if needing is product else needs[needing.name]
        bom.register_dependency(needing, [component for component in components if component.name in names])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def list_components(lock: str, runtime: Set[str]) -> Iterator[Component]:
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        pin = PIN_PATTERN.match(entry)
        if not pin:
            raise ValueError(f"{entry.splitlines()[0]!r} is no pin")
        name = canonicalize_name(pin["name"])
        package_url = PackageURL("pypi", name=name, version=pin["version"])
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in HASH_PATTERN.findall(entry)]
        files = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(str(package_url)),
            hashes=hashes,
            comment="It is installed from a file with one of these hashes.",
        )
        yield Component(
            name=name,
            version=pin["version"],
            purl=package_url,
            bom_ref=str(package_url),
            scope=ComponentScope.REQUIRED if name in runtime else ComponentScope.EXCLUDED,
            external_references=[files],
        )


def find_needs(requirements: Iterable[Requirement]) -> dict[str, set[str]]:
    """What these packages need on this system, and what those need: by package, the names of what it needs."""
    needs, done, left = dict[str, set[str]](), set[tuple[str, str]](), list(requirements)
    while left:
        requirement = left.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in done:
                continue
            done.add((name, extra))
            found = list(_list_requirements(name, extra))
            needs.setdefault(name, set()).update(canonicalize_name(each.name) for each in found)
            left += found
    return needs


def _list_requirements(name: str, extra: str) -> Iterator[Requirement]:
    """What the installed package needs, with the extra or for itself."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # it is for other systems
        return
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            requirement.marker = None
            yield requirement


if __name__ == "__main__":
    lock = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "requirements.lock"
    sys.stdout.write(build_bom(lock.read_text()) + "\n")
