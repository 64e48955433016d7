"""All options of one system together."""

from __future__ import annotations

from pydantic import model_validator

from config.settings.base import Section
from config.settings.exchange import Atna, Email, Hl7, Notify, Outbox, Results
from config.settings.node import CommitmentOptions, Dicom, Priors, Tls
from config.settings.recognition import (
    AuditOptions,
    CalibrationOptions,
    Decoding,
    EncoderOptions,
    IndexOptions,
    VerdictOptions,
)
from config.settings.running import Database, Log, Redis, Web, Workers


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
