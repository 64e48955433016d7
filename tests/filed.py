"""Images as intake and encoder leave them in the database, for tests of what comes after."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import Code, Instance, Patient, Series, Study, now
from archive.states import ImageState

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def file_image(
    session: Session,
    patient: str,
    study: str = "",
    state: ImageState = ImageState.MATCHED,
    matched_at: datetime | None = None,
    pixels: str = "",
) -> Instance:
    """Add an image without codes.

    Args:
        patient: Patient ID, which may be empty.
        study: Study Instance UID; empty = a study of its own.
        pixels: what stands for the pixels: images with the same text have the same ones; empty = of its own.
    """
    number = (session.scalar(select(func.max(Instance.id))) or 0) + 1
    owner = session.scalar(select(Patient).where(Patient.patient_id == patient)) or Patient(patient_id=patient)
    session.add(owner)
    session.flush()
    uid = study or f"1.{number}"
    filed_under = session.scalar(
        select(Study).where(Study.study_instance_uid == uid, Study.patient_pk == owner.id)
    ) or Study(study_instance_uid=uid, patient_pk=owner.id)
    session.add(filed_under)
    session.flush()
    series = Series(series_instance_uid=f"2.{number}", study_pk=filed_under.id)
    session.add(series)
    session.flush()
    image = Instance(
        sop_instance_uid=f"3.{number}",
        sop_class_uid=DX,
        transfer_syntax_uid=EXPLICIT,
        series_pk=series.id,
        patient_pk=owner.id,
        file_digest=f"{number:064}",
        size=1,
        state=state,
        pixel_sha256=(pixels or str(number)).rjust(64, "0"),
        matched_at=(matched_at or now()) if state is ImageState.MATCHED else None,
    )
    session.add(image)
    session.flush()
    return image


def add_code(
    session: Session,
    image: Instance,
    embedding: NDArray[np.float32],
    code: NDArray[np.uint8],
    model_id: str,
) -> None:
    """Add what the encoder says about an image: embedding float32 (d,), code uint8 (bits/8,)."""
    session.add(
        Code(
            instance_pk=image.id,
            model_id=model_id,
            embedding=embedding.astype("<f4").tobytes(),
            code=code.tobytes(),
            attention=bytes(36),
            attention_rows=6,
        )
    )
    session.flush()
