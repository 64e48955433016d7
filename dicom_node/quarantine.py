"""Keeping what cannot be filed, so that an administrator can see what was sent and why it was refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archive.database import Database
from archive.files import ImageFiles
from archive.intake import StoredFile, note_quarantined
from archive.models import Quarantined
from dicom_node.status import StoreStatus


@dataclass(frozen=True)
class Claim:
    """What a sender says an object is: its SOP Class UID and SOP Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


def quarantine(
    database: Database,
    files: ImageFiles,
    temporary: Path,
    file: StoredFile,
    claim: Claim,
    status: StoreStatus,
    reason: str,
) -> bool:
    """Move a refused file into the quarantine and note why; on return both are durable.

    The same bytes are kept and noted once, however often they are sent.

    Args:
        temporary: the file, gone afterwards.
        reason: one phrase without patient data.

    Returns:
        whether the file is new to the quarantine.

    Raises:
        OSError, sqlalchemy.exc.SQLAlchemyError: it could not be kept.
    """
    place = files.set_aside(temporary, file.file_sha256)
    entry = Quarantined(
        file_name=place.name,
        sop_class_uid=claim.sop_class_uid[:128],
        sop_instance_uid=claim.sop_instance_uid[:128],
        calling_ae=file.calling_ae,
        status=int(status),
        reason=reason[:256],
        size=file.size,
    )
    return note_quarantined(database, entry)
