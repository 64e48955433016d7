"""The tables of the archive, by what they are about."""

from __future__ import annotations

from archive.models.alerts import Alert, Disposition, Notification
from archive.models.base import Base, UtcDateTime, now
from archive.models.images import (
    WHOLE,
    BackfilledFile,
    Box,
    Code,
    GalleryChange,
    Instance,
    Quarantined,
    Series,
    Study,
    Variant,
)
from archive.models.patients import Patient, PatientLink
from archive.models.peers import Commitment, Hl7Message, PacsQuery, PriorSearch, RetrievedDay, RetrievedSeries
from archive.models.purges import Leftover, Purge, id_after_purge
from archive.models.users import AuditEvent, AuditExport, SignIn, User

__all__ = [
    "WHOLE",
    "Alert",
    "AuditEvent",
    "AuditExport",
    "BackfilledFile",
    "Base",
    "Box",
    "Code",
    "Commitment",
    "Disposition",
    "GalleryChange",
    "Hl7Message",
    "Instance",
    "Leftover",
    "Notification",
    "PacsQuery",
    "Patient",
    "PatientLink",
    "PriorSearch",
    "Purge",
    "Quarantined",
    "RetrievedDay",
    "RetrievedSeries",
    "Series",
    "SignIn",
    "Study",
    "User",
    "UtcDateTime",
    "Variant",
    "id_after_purge",
    "now",
]
