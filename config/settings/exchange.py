"""Options of messages to and from other systems: outbox, webhook, e-mail, results, HL7, audit messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from config.settings.base import MailAddress, Network, Port, Section, WebAddress
from config.settings.running import Retries


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
