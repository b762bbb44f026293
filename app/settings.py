"""Settings: the variables of the environment, as docs/operating.md lists them."""

import base64
import binascii
import os
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.store.dialling import list_driver_urls
from app.store.redis_client import read_sentinel_url
from app.wire.mail import MailServer, read_server

SECRET_VARIABLES = ("DATABASE_URL", "DATABASE_REPLICA_URL", "REDIS_URL", "SECRET_KEYS", "METRICS_TOKEN", "SMTP_URL")
"""Each may be given as NAME_FILE, too: a file that holds it."""


class ConfigurationError(Exception):
    """The service cannot start with this environment. The message says what to do."""


class Settings(BaseSettings):
    """The settings of a process, read once at its start."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    database_url: str | None = None
    database_replica_url: str | None = None
    """A standby of the database, for reads that may lag; None: the database answers all."""
    redis_url: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_base_url: str | None = None
    data_dir: Path = Path(".data")
    secret_keys: SecretStr | None = None
    environment: Literal["development", "production"] = "development"
    allowed_private_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Proxies whose X-Forwarded-For is believed. It names the client's address."""
    allow_simulator: bool = False
    log_level: str = "INFO"
    metrics_token: SecretStr | None = None
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port on which a worker serves its health and metrics. A web process serves its own."""
    otel_exporter_otlp_endpoint: str | None = None
    """The endpoint for traces, by OTLP. These names, and others that the SDK reads itself, are OpenTelemetry's."""
    otel_exporter_otlp_traces_endpoint: str | None = None
    otel_exporter_otlp_protocol: str | None = None
    otel_exporter_otlp_traces_protocol: str | None = None
    otel_traces_exporter: str | None = None
    otel_sdk_disabled: bool = False
    smtp_url: SecretStr | None = None
    """The mail server for notices to people; None: nobody gets e-mail."""
    mail_from: str | None = None
    keep_attempts_days: Annotated[int, Field(ge=1)] = 30
    """How long requests to carriers, agents and webhook endpoints are kept, with their bodies."""
    keep_events_days: Annotated[int, Field(ge=1)] = 30
    """How far a reader of the feed can fall behind, and a webhook endpoint can be rewound."""
    keep_uploads_days: Annotated[int, Field(ge=40)] = 90
    """How long files that people sent are kept. A text may be scheduled for 35 days, and its carrier
    fetches its files when it is sent."""
    keep_audit_days: Annotated[int, Field(ge=1)] = 730
    cell: Annotated[str, Field(pattern=r"^[a-z2-9]{1,8}$")] | None = None
    """The name of this installation among several: it stands in new API keys, ids of accounts and
    session cookies."""
    linger_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    """How long a web process still serves after SIGTERM, while /health/ready already fails: as long
    as the load balancer needs to notice and send its requests elsewhere."""

    @field_validator("allowed_private_networks", "trusted_proxies", mode="before")
    @classmethod
    def _parse_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def has_simulator(self) -> bool:
        """Whether accounts with the simulated carrier may be added."""
        return not self.is_production or self.allow_simulator

    @property
    def base_url(self) -> str:
        """The public address, without a trailing slash."""
        return (self.public_base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def has_traces(self) -> bool:
        """Whether the environment asks for traces."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return False
        endpoint = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint
        return bool(endpoint or self.otel_traces_exporter)

    @property
    def otlp_protocol(self) -> str:
        return self.otel_exporter_otlp_traces_protocol or self.otel_exporter_otlp_protocol or "http/protobuf"

    @property
    def mail_server(self) -> MailServer | None:
        """Raises `ValueError`."""
        return read_server(self.smtp_url.get_secret_value()) if self.smtp_url else None

    def decode_sealing_keys(self) -> list[bytes]:
        """The keys that seal secrets, newest first; each 32 bytes."""
        secret_keys = self.secret_keys.get_secret_value() if self.secret_keys else ""
        return [_decode_sealing_key(part.strip()) for part in secret_keys.split(",") if part.strip()]


def _decode_sealing_key(encoded_key: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(encoded_key + "=" * (-len(encoded_key) % 4))
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise ConfigurationError("SECRET_KEYS: each key must be url-safe base64 of 32 bytes")
    return key


def load(**overrides: object) -> Settings:
    """Settings from the environment and `overrides`. Raises `ConfigurationError`, which names every
    fault."""
    try:
        settings = Settings(**(_read_secret_files() | overrides))  # type: ignore[arg-type]  # pydantic checks them by name
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("; ".join(faults)) from None
    if faults := _find_faults(settings):
        raise ConfigurationError("; ".join(faults))
    return settings


def find_redis_url() -> str:
    """For arq, which asks when its settings are imported, and must not fail then."""
    path = os.environ.get("REDIS_URL_FILE")
    url = Path(path).read_text().strip() if path and Path(path).is_file() else os.environ.get("REDIS_URL")
    return url or "redis://127.0.0.1:6379"


def _read_secret_files() -> dict[str, object]:
    """The secrets that stand in files, by field. Raises `ConfigurationError`."""
    paths = {name: os.environ.get(f"{name}_FILE") for name in SECRET_VARIABLES}
    return {name.lower(): _read_secret_file(name, path) for name, path in paths.items() if path}


def _read_secret_file(name: str, path: str) -> str:
    if os.environ.get(name):
        raise ConfigurationError(f"{name} and {name}_FILE are both set: one of them must go")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{name}_FILE: {path} cannot be read ({type(error).__name__})") from None


def require_servers(settings: Settings) -> None:
    """Raises `ConfigurationError` when a database or a Redis is not named."""
    urls = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    missing = [name for name, value in urls.items() if not value]
    if missing:
        raise ConfigurationError(f"{' and '.join(missing)} must be set; `up` brings its own servers")


def _find_faults(settings: Settings) -> list[str]:
    faults = []
    if not settings.decode_sealing_keys():
        if settings.database_url:
            faults.append("SECRET_KEYS is required as soon as DATABASE_URL is set")
        elif settings.is_production:
            faults.append("SECRET_KEYS is required in production")
    faults += _find_address_faults(settings)
    faults += _find_mail_faults(settings)
    if settings.is_production:
        required_values = {
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "PUBLIC_BASE_URL": settings.public_base_url,
            "METRICS_TOKEN": settings.metrics_token,
        }
        faults += [f"{name} is required in production" for name, value in required_values.items() if not value]
        if settings.public_base_url and not settings.public_base_url.startswith("https://"):
            faults.append("PUBLIC_BASE_URL must be https:// in production")
        if any(network.prefixlen == 0 for network in settings.allowed_private_networks):
            faults.append("ALLOWED_PRIVATE_NETWORKS must not be every address in production")
    return faults


def _find_address_faults(settings: Settings) -> list[str]:
    faults = []
    for name, url in (("DATABASE_URL", settings.database_url), ("DATABASE_REPLICA_URL", settings.database_replica_url)):
        try:
            list_driver_urls(url or "postgresql://")
        except ValueError:  # its words may quote a password
            faults.append(
                f"{name} must be postgresql://user:password@host:5432/name; several hosts: host1:5432,host2:5432"
            )
    try:
        read_sentinel_url(settings.redis_url or "")
    except ValueError:
        faults.append("REDIS_URL must be redis+sentinel://host:26379,host:26379/service/0 or redis://host:6379/0")
    return faults


def _find_mail_faults(settings: Settings) -> list[str]:
    faults = []
    if bool(settings.smtp_url) != bool(settings.mail_from):
        missing, given = ("MAIL_FROM", "SMTP_URL") if settings.smtp_url else ("SMTP_URL", "MAIL_FROM")
        faults.append(f"{missing} is required with {given}")
    try:
        _ = settings.mail_server
    except ValueError as error:
        faults.append(f"SMTP_URL {error}")
    if settings.mail_from and not _is_mail_address(settings.mail_from):
        faults.append("MAIL_FROM must be an address such as LeadSail <notices@example.com>")
    return faults


def _is_mail_address(text: str) -> bool:
    name, at, domain = parseaddr(text)[1].partition("@")
    return bool(name and at and domain) and text.isprintable()
