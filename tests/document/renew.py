"""`python -m tests.document.renew`, part of `make lock`: the newest of Node's tools that package.json
allows, into package-lock.json."""

from tests.document.node import LOCK, run_npm

if __name__ == "__main__":
    LOCK.unlink(missing_ok=True)
    run_npm("install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")
