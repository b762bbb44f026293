# syntax=docker/dockerfile:1
# One image for web and worker; the runtime's dependencies only, at their pinned hashes.

FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml requirements.lock ./
# The lock holds the tests' packages too. pip says which of them the project itself needs, with the
# extras `mcp` and `traces`, and only those are installed, each by its pinned hash. What writes the bill of
# materials is installed beside them, and stays here.
RUN <<'SH' bash -eu
python - > wanted.txt <<'PY'
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print("\n".join(project["dependencies"] + extras["mcp"] + extras["traces"]))
PY
printf '%s\n' cyclonedx-python-lib packaging > tools.txt
sed -E 's/ \\$//; /^ +--hash=/d' requirements.lock > pins.txt
cat > pick.py <<'PY'
import json, re, sys
needed = json.load(open(sys.argv[1]))["install"]
names = {re.sub(r"[-_.]+", "-", e["metadata"]["name"]).lower() for e in needed}
for entry in re.split(r"\n(?=\S)", open("requirements.lock").read()):
    if re.split(r"[=\[ ]", entry)[0].lower() in names:
        print(entry)
PY
python -m venv /venv
install() {
    wanted=$1 lock=$2
    shift 2
    /venv/bin/pip install --quiet --dry-run --report needed.json -c pins.txt -r "$wanted"
    python pick.py needed.json > "$lock"
    /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r "$lock" "$@"
}
install wanted.txt runtime.lock
install tools.txt tools.lock --target /tools
SH

COPY tests/sbom.py tests/sbom.py
RUN PYTHONPATH=/tools /venv/bin/python tests/sbom.py runtime.lock > sbom.cdx.json
COPY app app
RUN /venv/bin/python -m compileall -q app /venv/lib

FROM python:3.13-slim
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title="LeadSail SMS" \
    org.opencontainers.image.description="SMS conversations between organizations and their leads" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin leadsail
WORKDIR /srv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 ENVIRONMENT=production
COPY --from=build /venv /venv
COPY --from=build /build/app app
COPY migrations migrations
COPY docs docs
COPY --from=build /build/sbom.cdx.json ./
COPY alembic.ini pyproject.toml ./
USER 10001
EXPOSE 8000
# A worker answers it where METRICS_PORT is set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["python", "-m", "app.operations.probe"]
CMD ["python", "-m", "app", "web"]
