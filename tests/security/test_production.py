"""Production starts with all it needs, or not at all, and says everything that is missing."""

import base64
import os

import pytest

from app import settings
from app.settings import ConfigurationError
from tests.test_cli import ran

KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()
WHOLE: dict[str, str] = {
    "environment": "production",
    "database_url": "postgresql://u:p@db/leadsail",
    "redis_url": "redis://cache",
    "public_base_url": "https://sms.example.com",
    "metrics_token": "a-token-of-some-length",
    "secret_keys": KEY,
}


def refused(**changed: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings.load(**(WHOLE | changed))
    return str(caught.value)


def test_a_whole_configuration_starts() -> None:
    assert settings.load(**WHOLE).is_production


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "environment"])
def test_what_is_missing_is_named(name: str) -> None:
    assert name.upper() in refused(**{name: None})


def test_all_that_is_missing_is_named_at_once() -> None:
    said = refused(redis_url=None, metrics_token="", public_base_url=None)
    for name in ("REDIS_URL", "METRICS_TOKEN", "PUBLIC_BASE_URL"):
        assert name in said
    said = refused(database_url=None, secret_keys=None)
    assert "DATABASE_URL is required" in said
    assert "SECRET_KEYS is required" in said


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"public_base_url": "http://sms.example.com"}, "PUBLIC_BASE_URL"),
        ({"secret_keys": f"{KEY},{KEY[:-4]}"}, "SECRET_KEYS"),
        ({"secret_keys": "short"}, "SECRET_KEYS"),
        ({"allowed_private_networks": "10.0.0.0/8,0.0.0.0/0"}, "ALLOWED_PRIVATE_NETWORKS"),
        ({"allowed_private_networks": "::/0"}, "ALLOWED_PRIVATE_NETWORKS"),
        ({"environment": "prod"}, "ENVIRONMENT"),
        ({"smtp_url": "smtp://mail.example.com"}, "MAIL_FROM is required with SMTP_URL"),
        ({"mail_from": "a@example.com"}, "SMTP_URL is required with MAIL_FROM"),
        ({"smtp_url": "mail.example.com", "mail_from": "a@example.com"}, "SMTP_URL must be"),
        ({"smtp_url": "smtp://mail.example.com", "mail_from": "LeadSail"}, "MAIL_FROM must be"),
        ({"smtp_url": "smtp://mail.example.com", "mail_from": "a@example.com\r\nBcc: b@x.y"}, "MAIL_FROM must be"),
    ],
)
def test_what_belongs_to_development_is_refused(changed: dict[str, object], named: str) -> None:
    assert named in refused(**changed)


def test_what_is_refused_is_not_repeated() -> None:
    """The line goes to a log."""
    said = refused(secret_keys=f"{KEY},not-a-key-but-a-secret", metrics_token="")
    said += refused(smtp_url="smtp://me:not-a-key@host/path", mail_from="me@example.com")
    assert KEY not in said
    assert "not-a-key" not in said
    assert "u:p@" not in said


@pytest.mark.parametrize("command", [("up",), ("demo",), ("demo", "--story")])
async def test_what_brings_a_demo_is_refused(command: tuple[str, ...]) -> None:
    env = {name.upper(): value for name, value in WHOLE.items()}
    status, _, err = await ran(None, *command, **env)
    assert status == 2
    assert f"{command[0]} " in err
    assert "refused in production" in err
