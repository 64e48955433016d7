"""Typed settings: the shipped option file, overlaid by the site's file, the environment and the command line."""

from __future__ import annotations

from config.settings.base import AETitle, CharacterSet, MailAddress, Network, Port, Section, Share, WebAddress
from config.settings.exchange import Atna, Email, Hl7, Notify, Outbox, Results
from config.settings.loading import ENV_PREFIX, NOT_OPTIONS, Layer, load_settings, option_layers, shipped_options
from config.settings.node import CommitmentOptions, Dicom, Peer, Priors, Right, Tls
from config.settings.recognition import (
    AuditOptions,
    CalibrationOptions,
    Decoding,
    EncoderOptions,
    IndexOptions,
    VerdictOptions,
)
from config.settings.running import Database, Log, Redis, Retries, Web, Workers
from config.settings.system import Settings

__all__ = [
    "ENV_PREFIX",
    "NOT_OPTIONS",
    "AETitle",
    "Atna",
    "AuditOptions",
    "CalibrationOptions",
    "CharacterSet",
    "CommitmentOptions",
    "Database",
    "Decoding",
    "Dicom",
    "Email",
    "EncoderOptions",
    "Hl7",
    "IndexOptions",
    "Layer",
    "Log",
    "MailAddress",
    "Network",
    "Notify",
    "Outbox",
    "Peer",
    "Port",
    "Priors",
    "Redis",
    "Results",
    "Retries",
    "Right",
    "Section",
    "Settings",
    "Share",
    "Tls",
    "VerdictOptions",
    "Web",
    "WebAddress",
    "Workers",
    "load_settings",
    "option_layers",
    "shipped_options",
]
