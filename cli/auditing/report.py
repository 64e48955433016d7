"""What an audit found, as rows for people and other programs."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from archive.alerts import Finding
from archive.archive_audit import AuditAlert
from archive.models import Instance
from cli.outcome import InputNotUsable

_MOST_VALUES = 500


@dataclass(frozen=True)
class Row:
    """One finding; empty or None where there is nothing to say.

    Attributes:
        kind: as `lungprint alerts` names it. probability: that it is right, in [0, 1].
        patient_id, issuer, sop_instance_uid: the image and its label; other_...: those it looks like.
        own_images, own_log_lr: of the other images under this label, with which the image was compared, how many there
            are, and the natural logarithm of how much likelier they show one person than two; other_...: of the other
            label.
        alert: number of the alert, state: what has become of it.
    """

    kind: str
    probability: float
    patient_id: str
    issuer: str
    sop_instance_uid: str
    other_patient_id: str
    other_issuer: str
    other_sop_instance_uid: str
    own_images: int
    own_log_lr: float | None
    other_images: int
    other_log_lr: float | None
    alert: int | None
    state: str


def described(session: Session, findings: Sequence[Finding], alerts: Sequence[AuditAlert]) -> list[Row]:
    """The rows of findings, with the alerts about them, if any were raised."""
    raised = {one.finding.key: one.alert for one in alerts}
    images = _images(session, {i for one in findings for i in (one.instance_id, one.other_instance_id) if i})
    rows = []
    for finding in findings:
        image = images[finding.instance_id]
        other = images[finding.other_instance_id] if finding.other_instance_id else None
        own_evidence, other_evidence = finding.evidence.get("own") or {}, finding.evidence.get("other") or {}
        alert = raised.get(finding.key)
        rows.append(
            Row(
                kind=finding.kind.audited.value,
                probability=finding.probability,
                patient_id=image.patient.patient_id,
                issuer=image.patient.issuer,
                sop_instance_uid=image.sop_instance_uid,
                other_patient_id="" if other is None else other.patient.patient_id,
                other_issuer="" if other is None else other.patient.issuer,
                other_sop_instance_uid="" if other is None else other.sop_instance_uid,
                own_images=own_evidence.get("images", 0),
                own_log_lr=own_evidence.get("log_lr"),
                other_images=other_evidence.get("images", 0),
                other_log_lr=other_evidence.get("log_lr"),
                alert=None if alert is None else alert.id,
                state="" if alert is None else alert.state.value,
            )
        )
    return rows


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows with a header line, readable by nobody but the user; the file is whole or as it was.

    Raises:
        InputNotUsable: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
        unfinished.replace(path)
    except OSError as error:
        raise InputNotUsable(f"{path} cannot be written: {error.strerror}.") from error


def _images(session: Session, ids: set[int]) -> dict[int, Instance]:
    wanted, found = sorted(ids), dict[int, Instance]()
    for start in range(0, len(wanted), _MOST_VALUES):
        some = select(Instance).where(Instance.id.in_(wanted[start : start + _MOST_VALUES]))
        found |= {image.id: image for image in session.scalars(some.options(joinedload(Instance.patient)))}
    return found
