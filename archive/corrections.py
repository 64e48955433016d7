"""Images whose label was wrong: a corrected version takes their place, under the same UID or as another image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, bindparam, exists, select
from sqlalchemy.orm import Session

from archive.alerts import Finding, conflict_key, raise_alert
from archive.audit import AuditAction, record
from archive.changes import note_changes
from archive.links import Label
from archive.models import Alert, Code, Instance, Series, Study, Variant, now
from archive.progress import GRACE_SECONDS
from archive.resolution import SYSTEM, UNDECIDED, alerts_about, is_estimate, judge_anew, resolve
from archive.states import AlertKind, AlertState, ChangeKind, ImageState, Resolution, check_step, saying
from config.settings import Settings

REPLACED = "rejected; the corrected image was sent as another one"

_ABOUT_LABEL = saying(AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH)


@dataclass(frozen=True)
class Bytes:
    """A stored file that becomes an image's present version; see `archive.models.Instance` for the fields."""

    file_digest: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size: int
    calling_ae: str


def is_rejected() -> ColumnElement[bool]:
    """Whether people have confirmed that an image (`Instance`) is labelled wrongly."""
    return exists().where(
        Alert.instance_pk == Instance.id, Alert.kind.in_(_ABOUT_LABEL), Alert.state == AlertState.CONFIRMED
    )


# Built once, as it is asked for each image.
_REJECTED_TWINS = (
    select(Instance)
    .where(
        Instance.pixel_sha256 == bindparam("pixels"),
        Instance.id != bindparam("instance"),
        Instance.state == ImageState.MATCHED,
        Instance.patient_pk != bindparam("label"),
        is_rejected(),
    )
    .with_for_update()
)


def is_correction(session: Session, instance: Instance, label: Label) -> bool:
    """Whether other bytes under an image's SOP Instance UID correct it.

    They do if they carry another Patient ID, or if the image was rejected: people have confirmed that its label is
    wrong.

    Args:
        label: what the other bytes carry; without a Patient ID they correct nothing.
    """
    if not label[0].strip():
        return False
    present = (instance.patient.patient_id, instance.patient.issuer)
    if label != present:
        return True
    return session.scalar(select(Instance.id).where(Instance.id == instance.id, is_rejected())) is not None


def replace_version(session: Session, instance: Instance, present: Bytes, series_pk: int, patient_pk: int) -> None:
    """Let other bytes take an image's place, under the label that they carry.

    The earlier bytes are kept as a superseded variant. The image is RECEIVED again, so it is decoded, encoded and
    compared anew; alerts about its label close by themselves, others that name it are judged anew.

    Args:
        series_pk, patient_pk: where the bytes say that the image belongs.
    """
    _keep_earlier(session, instance, present.file_digest)
    before, old_series = instance.patient_pk, instance.series_pk
    if instance.state is not ImageState.RECEIVED:
        check_step(instance.state, ImageState.RECEIVED)
    instance.state, instance.reason, instance.attempts, instance.judge_again = ImageState.RECEIVED, "", 0, False
    instance.received_at, instance.due_at = now(), now() + timedelta(seconds=GRACE_SECONDS)
    instance.file_digest, instance.size, instance.calling_ae = present.file_digest, present.size, present.calling_ae
    instance.sop_class_uid, instance.transfer_syntax_uid = present.sop_class_uid, present.transfer_syntax_uid
    instance.pixel_sha256, instance.encoded_at, instance.matched_at = None, None, None
    instance.righting = ""
    instance.verdict, instance.probability = "", None
    code = session.get(Code, instance.id)
    if code is not None:
        session.delete(code)
    instance.series_pk, instance.patient_pk = series_pk, patient_pk
    session.flush()
    session.expire(instance)
    _remove_empty(session, old_series)
    note_changes(session, (instance.id,), ChangeKind.IMAGE)
    for label in {before, patient_pk}:
        record(session, SYSTEM, AuditAction.IMAGE_CORRECTED, "instance", instance.id, label)
    _close_what_is_corrected(session, instance.id, conflict_key(instance.id, present.file_digest))
    _judge_others_anew(session, {before, patient_pk})


def check_corrected(session: Session, settings: Settings, instance_ids: Collection[int]) -> None:
    """Alert people where a corrected image, decoded again, shows other pixels than the version it has replaced.

    A correction changes the header alone; other pixels mean that two images share one SOP Instance UID, or that the
    wrong file was sent. Pixels of an earlier version that was never decoded cannot be compared; people are asked then
    too.
    """
    replaced = select(Variant, Instance).join(Instance, Variant.instance_pk == Instance.id)
    wanted = replaced.where(Variant.superseded, Instance.id.in_(instance_ids), Instance.pixel_sha256.is_not(None))
    for variant, instance in session.execute(wanted):
        if variant.pixel_sha256 != instance.pixel_sha256:
            finding = Finding(
                key=conflict_key(instance.id, variant.file_digest),
                kind=AlertKind.DUPLICATE_IMAGE,
                probability=1.0,
                instance_id=instance.id,
                patient_pk=instance.patient_pk,
                other_instance_id=instance.id,
                other_patient_pk=variant.patient_pk,
                evidence={"cause": "other_pixels"},
            )
            raise_alert(session, settings, finding)


def replace_rejected(session: Session, instance: Instance) -> list[int]:
    """Set rejected images with the same pixels as this one aside: it was sent in their place, as a new image.

    Only under another person's label; the rejected image's alert closes by itself.

    Returns:
        the ids of those images.
    """
    asked = {"pixels": instance.pixel_sha256, "instance": instance.id, "label": instance.patient_pk}
    replaced = session.scalars(_REJECTED_TWINS, asked).all() if instance.pixel_sha256 else []
    for twin in replaced:
        check_step(twin.state, ImageState.UNSUITABLE)
        twin.state, twin.reason, twin.judge_again = ImageState.UNSUITABLE, REPLACED, False
        for label in (twin.patient_pk, instance.patient_pk):
            record(session, SYSTEM, AuditAction.IMAGE_REPLACED, "instance", twin.id, label)
        _close_what_is_corrected(session, twin.id)
        _judge_others_anew(session, {twin.patient_pk})
    note_changes(session, (twin.id for twin in replaced), ChangeKind.IMAGE)
    return [twin.id for twin in replaced]


def _keep_earlier(session: Session, instance: Instance, file_digest: str) -> None:
    """Note an image's present bytes as superseded; a variant of the bytes that follow them is one no longer."""
    following = session.scalar(
        select(Variant).where(Variant.instance_pk == instance.id, Variant.file_digest == file_digest)
    )
    if following is not None:
        session.delete(following)
        session.flush()
    session.add(
        Variant(
            instance_pk=instance.id,
            patient_pk=instance.patient_pk,
            superseded=True,
            pixel_sha256=instance.pixel_sha256,
            file_digest=instance.file_digest,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            size=instance.size,
            calling_ae=instance.calling_ae,
            received_at=instance.received_at,
        )
    )
    session.flush()


def _close_what_is_corrected(session: Session, instance_id: int, conflict: str = "") -> None:
    """Close what was said or confirmed of an image's label.

    Args:
        conflict: key of an alert about two files under one UID that closes too.
    """
    said = select(Alert).where(Alert.instance_pk == instance_id, Alert.state.in_((*UNDECIDED, AlertState.CONFIRMED)))
    for alert in session.scalars(said.with_for_update()):
        if is_estimate(alert) or alert.key == conflict:
            resolve(session, alert, Resolution.CORRECTED)


def _judge_others_anew(session: Session, labels: set[int]) -> None:
    """Have images compared again whose alerts name labels that an image has left or come to."""
    judge_anew(session, (alert.instance_pk for alert in alerts_about(session, labels) if is_estimate(alert)))


def _remove_empty(session: Session, series_pk: int) -> None:
    """Remove a series that has no image left, and its study if that has no series left."""
    if session.scalar(select(Instance.id).where(Instance.series_pk == series_pk).limit(1)) is not None:
        return
    series = session.get_one(Series, series_pk)
    study_pk = series.study_pk
    session.delete(series)
    session.flush()
    if session.scalar(select(Series.id).where(Series.study_pk == study_pk).limit(1)) is None:
        session.delete(session.get_one(Study, study_pk))
        session.flush()
