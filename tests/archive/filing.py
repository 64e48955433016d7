"""Files patients, images and alerts straight into the tables, for tests that begin with them."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.models import Alert, Code, Instance, Patient, Series, Study, User
from archive.states import AlertKind, AlertState, ImageState, Role

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def file_patient(session: Session, patient_id: str, name: str = "", issuer: str = "", **facts: str) -> Patient:
    """A patient; the same label twice is one row."""
    known = session.scalar(select(Patient).where(Patient.patient_id == patient_id, Patient.issuer == issuer))
    if known is not None:
        return known
    patient = Patient(patient_id=patient_id, issuer=issuer, name=name, **facts)
    session.add(patient)
    session.flush()
    return patient


def file_image(session: Session, patient: Patient, year: int = 2024, accession: str = "", **facts: Any) -> Instance:
    """An image of a study of its own, matched unless `facts` say otherwise."""
    number = next(_numbers)
    study = Study(
        study_instance_uid=f"2.25.1.{number}",
        patient_pk=patient.id,
        accession_number=accession or f"A{number:05d}",
        description="Chest PA",
        acquired_at=datetime(year, 3, 14, 9, 26, tzinfo=UTC),
    )
    series = Series(series_instance_uid=f"2.25.2.{number}", study=study, modality="DX", description="PA upright")
    matched = facts.get("state", ImageState.MATCHED) is ImageState.MATCHED
    given = {"state": ImageState.MATCHED, "verdict": "consistent" if matched else "", "rows": 512, "columns": 512}
    instance = Instance(
        sop_instance_uid=f"2.25.3.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        series=series,
        patient_pk=patient.id,
        file_digest=hashlib.sha256(str(number).encode()).hexdigest(),
        size=524288,
        **(given | facts),
    )
    session.add(instance)
    session.flush()
    return instance


def file_code(session: Session, instance: Instance, attention: bytes, rows: int) -> None:
    """What the encoder would have said; `attention` uint8, row by row."""
    session.add(
        Code(
            instance_pk=instance.id,
            model_id="0123456789ab",
            embedding=bytes(512),
            code=bytes(16),
            attention=attention,
            attention_rows=rows,
        )
    )
    session.flush()


def file_alert(
    session: Session,
    instance: Instance,
    other: Instance | None = None,
    kind: AlertKind = AlertKind.WRONG_PATIENT,
    probability: float = 0.9,
    state: AlertState = AlertState.OPEN,
    evidence: dict[str, Any] | None = None,
) -> Alert:
    """An alert that says that `instance` looks like the patient of `other`."""
    alert = Alert(
        key=f"{kind}:{instance.id}:{other.id if other else '-'}",
        kind=kind,
        state=state,
        probability=probability,
        instance_pk=instance.id,
        patient_pk=instance.patient_pk,
        other_instance_pk=other.id if other else None,
        other_patient_pk=other.patient_pk if other else None,
        evidence=evidence or {},
    )
    session.add(alert)
    session.flush()
    return alert


def enlist(session: Session, role: Role, name: str | None = None) -> User:
    """A user with `PASSWORD`, named after the role."""
    user = User(name=name or str(role), password_hash=_password_hash(), role=role)
    session.add(user)
    session.flush()
    return user


@cache
def _password_hash() -> str:
    # Hashing is slow by design; tests that are not about passwords share one hash.
    return PasswordHasher().hash(PASSWORD)
