"""Keeping what cannot be filed, so that an administrator can see what was sent and why it was refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from archive.database import Database
from archive.files import ImageFiles
from archive.intake import StoredFile, note_quarantined
from archive.models import Quarantined
from archive.states import PurgeKind
from config.paths import DataDir
from dicom_node.status import StoreStatus

# Tag, value representation and padding of (0010,0020) Patient ID and (0020,000D) Study Instance UID.
_ELEMENTS = {
    PurgeKind.PATIENT: (b"\x10\x00\x20\x00", b"LO", b" "),
    PurgeKind.STUDY: (b"\x20\x00\x0d\x00", b"UI", b"\0"),
}
_SEARCHED = 1 << 20


@dataclass(frozen=True)
class Claim:
    """What a sender says an object is: its SOP Class UID and SOP Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


def files_about(folder: DataDir, kind: PurgeKind, name: str) -> list[str]:
    """Names of refused files that hold a Patient ID or Study Instance UID, readable as DICOM or not.

    The encoded data element is looked for in the file's first MiB: little endian, with explicit or implicit value
    representation (PS3.5 7.1); a header that is longer or compressed is not searched.
    """
    tag, representation, padding = _ELEMENTS[kind]
    value = name.encode()
    value += padding * (len(value) % 2)
    explicit = tag + representation + struct.pack("<H", len(value)) + value
    implicit = tag + struct.pack("<I", len(value)) + value
    found = []
    for path in sorted(folder.quarantine.glob("*")):
        with path.open("rb") as file:
            start = file.read(_SEARCHED)
        if explicit in start or implicit in start:
            found.append(path.name)
    return found


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
    place = files.set_aside(temporary, file.file_digest)
    entry = Quarantined(
        file_name=place.name,
        sop_class_uid=_column(claim.sop_class_uid),
        sop_instance_uid=_column(claim.sop_instance_uid),
        calling_ae=file.calling_ae,
        status=int(status),
        reason=reason[:256],
        size=file.size,
    )
    return note_quarantined(database, entry)


def _column(text: str) -> str:
    """What a sender claims, as far as it can be entered: PostgreSQL takes no NUL."""
    return text.replace("\0", "")[:128]
