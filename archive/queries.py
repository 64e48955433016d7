"""What this node has asked the PACS, kept for the audit messages that tell of it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from archive.models import PacsQuery


def note_query(
    session: Session,
    peer: str,
    sop_class_uid: str,
    identifier: bytes,
    study_uid: str = "",
    patient_pk: int | None = None,
) -> None:
    """Say that a peer is about to be asked; committed before it is, so that no query goes untold.

    Args:
        peer: its AE title.
        sop_class_uid: of the query or retrieve service.
        identifier: the data set that is sent, in Explicit VR Little Endian.
        study_uid: Study Instance UID, where one study is asked for.
        patient_pk: whose images are looked for, where that is one known patient.
    """
    session.add(
        PacsQuery(
            peer=peer,
            sop_class_uid=sop_class_uid,
            identifier=identifier,
            study_instance_uid=study_uid,
            patient_pk=patient_pk,
        )
    )


def forget_identifiers(session: Session, patients: Collection[int] = (), study_uids: Collection[str] = ()) -> None:
    """Forget what was asked about patients and studies that are removed for good; that something was, stays."""
    about = or_(PacsQuery.patient_pk.in_(patients), PacsQuery.study_instance_uid.in_(study_uids))
    session.execute(update(PacsQuery).where(about).values(identifier=b"", study_instance_uid=""))
