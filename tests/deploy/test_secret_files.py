"""Secrets in files, as Docker, Kubernetes and systemd hand them over."""

from pathlib import Path

import pytest

from app import settings
from app.settings import SECRET_VARIABLES, ConfigurationError

VALUES = {
    "DATABASE_URL": "postgresql://leadsail:pw@db/leadsail",
    "DATABASE_REPLICA_URL": "postgresql://leadsail:pw@standby/leadsail",
    "REDIS_URL": "rediss://:pw@cache:6379/0",
    "SECRET_KEYS": "A" * 43 + "=",
    "METRICS_TOKEN": "a token",
    "SMTP_URL": "smtps://user:pw@mail:465",
}


def test_each_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert VALUES.keys() == set(SECRET_VARIABLES)
    for name, value in VALUES.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    monkeypatch.setenv("MAIL_FROM", "notices@example.com")
    configuration = settings.load()
    given = {name: getattr(configuration, name.lower()) for name in VALUES}
    assert {n: v if isinstance(v, str) else v.get_secret_value() for n, v in given.items()} == VALUES
    assert settings.find_redis_url() == VALUES["REDIS_URL"]


def test_a_secret_that_stands_in_two_places_or_in_no_file_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEYS_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SECRET_KEYS", VALUES["SECRET_KEYS"])
    with pytest.raises(ConfigurationError, match="SECRET_KEYS and SECRET_KEYS_FILE are both set"):
        settings.load()
    monkeypatch.delenv("SECRET_KEYS")
    with pytest.raises(ConfigurationError, match=r"SECRET_KEYS_FILE: .*nothing cannot be read"):
        settings.load()
