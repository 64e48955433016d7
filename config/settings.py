"""Typed settings: the shipped option file, overlaid by the site's file, the environment and the command line."""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from config.errors import ConfigurationError

ENV_PREFIX = "LUNGPRINT_"
# Variables with the prefix that select the system or a test's data and are no options.
NOT_OPTIONS = frozenset({"LUNGPRINT_DATA_DIR", "LUNGPRINT_SHARED"})


def _checked_network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


AETitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]+$")
]
Port = Annotated[int, Field(ge=0, le=65535)]
WebAddress = Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$")]
MailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
Network = Annotated[str, AfterValidator(_checked_network)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


# Defined terms of Specific Character Set without code extensions (PS3.3 C.12.1.1.2).
CharacterSet = Annotated[
    str, StringConstraints(pattern=r"^(ISO_IR (100|101|109|110|144|127|126|138|148|203|13|166|192)|GB18030|GBK)$")
]


class Section(BaseModel):
    """A section of the option file: values cannot change, unknown options are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Right(StrEnum):
    """What a peer may ask of this node."""

    ECHO = "echo"
    STORE = "store"
    COMMIT = "commit"


class Peer(Section):
    """A DICOM node: where it calls from, what it may do, and where it is called.

    Attributes:
        ae_title: its AE title, in both directions.
        address: the address or network that it calls from.
        may: what it may ask of this node.
        tls: whether it is accepted over TLS alone, and called over TLS.
        certificate_name: name that its certificate must carry (a DNS name of its, or its common name); "" = any.
        host: where it is called; "" = its `address`.
        port: where it is called; 0 = never.
    """

    ae_title: AETitle
    address: Network
    may: tuple[Right, ...] = tuple(Right)
    tls: bool = False
    certificate_name: str = ""
    host: str = ""
    port: Port = 0

    @model_validator(mode="after")
    def _has_one_address_to_call(self) -> Peer:
        if self.port and not self.host and ipaddress.ip_network(self.address, strict=False).num_addresses > 1:
            raise ValueError("a peer with a port and a network as its address needs a host, by which it is called")
        return self

    @property
    def called_host(self) -> str:
        """Where this node calls it: a host name or an IP address."""
        return self.host or str(ipaddress.ip_network(self.address, strict=False).network_address)


class Dicom(Section):
    """The listener."""

    ae_title: AETitle
    port: Port
    host: str
    peers: tuple[Peer, ...]
    max_pdu: int = Field(ge=4096, le=1 << 20)
    max_associations: int = Field(ge=1, le=1000)
    max_associations_per_peer: int = Field(ge=1, le=1000)
    processes: int = Field(ge=0, le=64)
    accept_any_storage: bool
    idle_seconds: float = Field(gt=0)
    default_character_set: CharacterSet
    low_space_mib: int = Field(ge=0)
    min_free_mib: int = Field(ge=0)

    @property
    def bind_host(self) -> str:
        """The address to bind: loopback while nobody but this machine may send."""
        if self.host != "auto":
            return self.host
        return "0.0.0.0" if self.peers else "127.0.0.1"


class Tls(Section):
    """Encrypted associations with certificates on both sides."""

    port: Port
    certificate: str
    key: str
    authorities: str

    @model_validator(mode="after")
    def _is_whole(self) -> Tls:
        given = [bool(value) for value in (self.certificate, self.key, self.authorities)]
        if any(given) != all(given) or (self.port and not all(given)):
            raise ValueError("TLS needs all three of certificate, key and authorities")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there are certificates to work with."""
        return bool(self.certificate)


class CommitmentOptions(Section):
    """Storage commitment."""

    retry_days: int = Field(ge=1, le=365)


class Priors(Section):
    """Earlier images from the PACS."""

    peer: Annotated[str, StringConstraints(strip_whitespace=True, max_length=16)]
    retrieve: Literal["move", "get"]
    modalities: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(min_length=1)
    body_parts: tuple[str, ...]
    years: int = Field(ge=1, le=100)
    studies: int = Field(ge=1, le=1000)
    series_per_minute: int = Field(ge=1, le=6000)
    hours: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]
    timeout_seconds: float = Field(gt=0)
    retry_days: int = Field(ge=1, le=365)


class Decoding(Section):
    """From a file to pixels."""

    max_pixels: int = Field(ge=1 << 16)
    preview_side: int = Field(ge=256, le=8192)
    timeout_seconds: float = Field(gt=0)
    processes: int = Field(ge=0, le=64)


class EncoderOptions(Section):
    """The network at work."""

    weights: str
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    batch_size: int = Field(ge=1, le=1024)
    batch_wait_ms: int = Field(ge=10, le=60_000)
    threads: int = Field(ge=0, le=256)


class IndexOptions(Section):
    """The nearest-neighbour index."""

    kind: Literal["hnsw", "exact", "lsh", "milvus"]
    m: int = Field(ge=4, le=128)
    ef_construction: int = Field(ge=16, le=2000)
    ef_search: int = Field(ge=16, le=5000)
    lsh_bits: int = Field(ge=1, le=16)
    lsh_tables: int = Field(ge=1, le=256)
    lsh_candidates: int = Field(ge=1, le=1_000_000)
    milvus_url: str
    milvus_token: str
    milvus_collection: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]
    candidates: int = Field(ge=1, le=5000)
    keep: int = Field(ge=1, le=5000)
    snapshot_every: int = Field(ge=1)

    @model_validator(mode="after")
    def _has_cluster(self) -> IndexOptions:
        if self.kind == "milvus" and not self.milvus_url:
            raise ValueError("index.kind milvus needs the address of the cluster in index.milvus_url")
        return self


class CalibrationOptions(Section):
    """What a similarity is worth."""

    file: str
    min_patients: int = Field(ge=20)


class VerdictOptions(Section):
    """Rates before any image is seen, and the alert budget."""

    base_rate: Share
    duplicate_rate: Share
    owner_in_gallery: Share
    header_error_rate: float = Field(gt=0.0, lt=0.5)
    min_probability: float = Field(ge=0.0, le=1.0)
    alerts_per_1000: float = Field(ge=0.0, le=1000.0)
    budget_window: int = Field(ge=10, le=1_000_000)


class AuditOptions(Section):
    """The audit of the whole archive."""

    alerts_per_1000: float = Field(ge=0.0, le=1000.0)
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class Web(Section):
    """The dashboard."""

    host: str
    port: Port
    https: bool
    session_minutes: int = Field(ge=1)
    logins_per_minute: int = Field(ge=1)


class Redis(Section):
    """The queue's server."""

    url: Annotated[str, StringConstraints(pattern=r"^((rediss?|unix)://\S+)?$")]


class Database(Section):
    """The archive's database."""

    url: str


class Retries(Section):
    """How often something is tried, and the pauses between."""

    max_attempts: int = Field(ge=1, le=100)
    retry_seconds: float = Field(gt=0)
    retry_max_seconds: float = Field(gt=0)


class Workers(Retries):
    """Retries and reconciliation of images."""

    reconcile_seconds: float = Field(gt=0)


class Outbox(Retries):
    """Retries of messages to other systems."""

    timeout_seconds: float = Field(gt=0, le=300)


class Notify(Section):
    """The webhook, and what messages of every kind say."""

    webhook_url: WebAddress
    webhook_secret: str
    webhook_patient_data: bool
    dashboard_url: WebAddress


class Email(Section):
    """E-mail about alerts."""

    host: str
    port: Port
    security: Literal["starttls", "tls", "none"]
    user: str
    password: str
    ca_file: str
    sender: str
    recipients: tuple[MailAddress, ...]
    digest_minutes: int = Field(ge=0, le=7 * 24 * 60)

    @model_validator(mode="after")
    def _is_complete(self) -> Email:
        if self.host and not (self.sender and self.recipients):
            raise ValueError("e-mail needs a sender and at least one of recipients")
        if self.password and self.security == "none":
            raise ValueError("a password is not sent without TLS; set security to starttls or tls")
        return self


class Results(Section):
    """What the PACS gets about alerts."""

    peer: Annotated[str, StringConstraints(max_length=16)]
    structured_report: bool
    secondary_capture: bool


class Hl7(Section):
    """The listener for messages about patients (HL7 v2)."""

    port: Port
    host: str
    peers: tuple[Network, ...]
    tls: bool
    local_authority: str
    idle_seconds: float = Field(gt=0)

    @property
    def bind_host(self) -> str:
        """The address to bind: loopback while nobody but this machine may send."""
        if self.host != "auto":
            return self.host
        return "0.0.0.0" if self.peers else "127.0.0.1"


class Atna(Section):
    """Audit messages to other systems."""

    file: bool
    syslog_host: str
    syslog_port: Port
    syslog_tls: bool
    syslog_ca_file: str
    site: str

    @property
    def is_on(self) -> bool:
        """Whether audit messages go anywhere."""
        return self.file or bool(self.syslog_host)


class Log(Section):
    """What is written to the log."""

    level: Literal["debug", "info", "warning", "error"]


class Settings(Section):
    """All options of one system; see `config/lungprint.toml` for the meaning of each."""

    dicom: Dicom
    tls: Tls
    commitment: CommitmentOptions
    priors: Priors
    decoding: Decoding
    encoder: EncoderOptions
    index: IndexOptions
    calibration: CalibrationOptions
    verdict: VerdictOptions
    audit: AuditOptions
    web: Web
    redis: Redis
    database: Database
    workers: Workers
    outbox: Outbox
    notify: Notify
    email: Email
    results: Results
    hl7: Hl7
    atna: Atna
    log: Log

    @model_validator(mode="after")
    def _has_certificates_for_its_peers(self) -> Settings:
        if not self.tls.is_set and any(peer.tls for peer in self.dicom.peers):
            raise ValueError("a peer has tls = true, so the section [tls] must name certificate, key and authorities")
        return self

    @model_validator(mode="after")
    def _has_certificates_for_hl7(self) -> Settings:
        if self.hl7.tls and not self.tls.is_set:
            raise ValueError("hl7.tls is true, so the section [tls] must name certificate, key and authorities")
        return self

    @model_validator(mode="after")
    def _can_call_the_pacs(self) -> Settings:
        for option, wanted in (("results.peer", self.results.peer), ("priors.peer", self.priors.peer)):
            if wanted and not any(peer.ae_title == wanted and peer.port for peer in self.dicom.peers):
                raise ValueError(f"{option} is {wanted!r}, so dicom.peers must list it with a port")
        return self


def shipped_options() -> str:
    """The text of the commented option file that ships with the package."""
    return resources.files("config").joinpath("lungprint.toml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Layer:
    """Options from one origin: {section: {option: value}} as read, not yet checked."""

    origin: str
    options: Mapping[str, Any]


def option_layers(
    data_dir: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Layer, ...]:
    """Where options come from, a later layer before an earlier one; the first holds every option's default.

    Args:
        data_dir: the data folder; its `lungprint.toml` is read when it exists.
        environ: variables to read, by default those of the process.
        flags: {section: {option: value}} given on the command line; None values are left out.

    Raises:
        ConfigurationError: a file or variable is not usable; the text names it and says what is expected.
    """
    defaults: dict[str, dict[str, Any]] = tomllib.loads(shipped_options())
    layers = [Layer("the defaults", defaults)]
    site_file = data_dir / "lungprint.toml"
    if site_file.exists():
        layers.append(Layer(str(site_file), _read_site_file(site_file)))
    layers.append(Layer("the environment", _from_environment(defaults, os.environ if environ is None else environ)))
    given = {s: {k: v for k, v in o.items() if v is not None} for s, o in (flags or {}).items()}
    layers.append(Layer("the command line", given))
    return tuple(layers)


def load_settings(
    data_dir: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Settings of the system in `data_dir`: shipped defaults, then its file, then the environment, then flags.

    Arguments as for `option_layers`.

    Raises:
        ConfigurationError: a file, variable or flag is not usable; the text names it and says what is expected.
    """
    layers = option_layers(data_dir, environ, flags)
    options = {section: dict(values) for section, values in layers[0].options.items()}
    for layer in layers[1:]:
        _overlay(options, layer.options, layer.origin)
    try:
        return Settings.model_validate(options)
    except ValidationError as error:
        raise ConfigurationError(_what_is_wrong(error)) from error


def _what_is_wrong(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence; whole sections are not quoted, they may hold passwords."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"Option {where} is missing."
    if isinstance(first["input"], Mapping):
        return f"The options{' ' + where if where else ''} do not go together: {text}."
    return f"Option {where} has the value {first['input']!r}, which is not usable: {text}."


def _read_site_file(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"The option file {path} cannot be read: {error}.") from error


def _overlay(options: dict[str, dict[str, Any]], given: Mapping[str, Any], origin: str) -> None:
    for section, values in given.items():
        if section not in options:
            raise ConfigurationError(f"There is no section [{section}] in the options; it was given in {origin}.")
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"[{section}] in {origin} must be a section with options in it.")
        for name, value in values.items():
            if name not in options[section]:
                raise ConfigurationError(f"There is no option {section}.{name}; it was given in {origin}.")
            options[section][name] = value


def _from_environment(
    options: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in NOT_OPTIONS:
            continue
        section, _, name = variable.removeprefix(ENV_PREFIX).lower().partition("_")
        if section not in options or name not in options[section]:
            raise ConfigurationError(
                f"The environment variable {variable} names no option; see `lungprint config show`."
            )
        given.setdefault(section, {})[name] = _parse(text, options[section][name], variable)
    return given


def _parse(text: str, default: Any, variable: str) -> Any:
    """Give a variable's text the type of the option's default; validation proper happens afterwards."""
    if isinstance(default, str):
        return text
    try:
        return json.loads(text.lower() if isinstance(default, bool) else text)
    except json.JSONDecodeError as error:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "a JSON list")
        raise ConfigurationError(
            f"The environment variable {variable} has the value {text!r}; expected {kind}."
        ) from error
