# One image for web, worker and migrate: the command decides. It holds the runtime dependencies
# only, at the versions and hashes of requirements.lock.
FROM python:3.11-slim AS build
WORKDIR /srv
COPY requirements.lock .
# The whole lock is fetched and its hashes checked; what is installed comes from there alone.
RUN pip download --quiet --require-hashes --no-deps --only-binary=:all: \
    --requirement requirements.lock --dest /wheels
RUN python -m venv /opt/venv
COPY pyproject.toml README.md ./
COPY app app
# Editable: the code stays beside its migrations, and there is only one copy of it.
RUN /opt/venv/bin/pip install --no-index --find-links /wheels --editable . \
    && /opt/venv/bin/python -m compileall -q app

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent leadsail
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/app app
COPY migrations migrations
ENV PATH=/opt/venv/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
# Of web; a worker has no door to knock at and switches this off. No proxy stands in between.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=2)"]
CMD ["python", "-m", "app", "web"]
