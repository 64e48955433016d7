"""Which images of the archive carry a Patient ID that may be believed, to learn and calibrate from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, distinct, func, or_, select
from sqlalchemy.orm import Session, aliased

from archive.models import Alert, Instance, Patient, Series, Study, Variant
from archive.states import WAITING, AlertKind, AlertState, ImageState, saying

_PAGE = 10_000


class Doubt(StrEnum):
    """Why an image's Patient ID is not to be learned from; the value is shown to people."""

    UNSUITABLE = "no frontal chest image, or too little in it"
    NOT_MATCHED = "not compared with the archive yet, or given up"
    NO_PATIENT_ID = "no Patient ID"
    MERGED = "its Patient ID and another may be one person"
    DISPUTED = "an alert about its Patient ID is open or confirmed"
    TWO_IDS_IN_STUDY = "its study came under more than one Patient ID"
    TWO_IDS_FOR_UID = "its SOP Instance UID came under more than one Patient ID"
    TWO_IDS_FOR_PIXELS = "its pixels came under more than one Patient ID"


@dataclass(frozen=True)
class LabelledImage:
    """An image of the archive and its label.

    Attributes:
        label: Patient ID and issuer; of IDs that were joined, the one that came first.
        doubt: None where the label may be believed.
    """

    instance_id: int
    label: tuple[str, str]
    file_digest: str
    doubt: Doubt | None


def labelled_images(session: Session) -> Iterator[LabelledImage]:
    """All images by id, with the first doubt about each in the order of `Doubt`.

    An alert that a label is wrong takes out all images of that label as long as it waits for a decision, is held back
    although it is more likely right than wrong, or is confirmed: which of the images are wrong is not known. Two
    labels that may be one person are both taken out until somebody decides; joined ones are one label. An alert that
    was found to be no error takes out nothing.
    """
    merged, disputed = _merged(session), _disputed(session)
    studies, pixels, conflicts = _studies(session), _pixels(session), _conflicts(session)
    last = 0
    while rows := session.execute(_IMAGES.where(Instance.id > last).limit(_PAGE)).all():
        for number, patient_pk, patient_id, issuer, study_uid, state, pixel_sha256, file_digest in rows:
            doubts = (
                (Doubt.UNSUITABLE, state is ImageState.UNSUITABLE),
                (Doubt.NOT_MATCHED, state is not ImageState.MATCHED),
                (Doubt.NO_PATIENT_ID, not patient_id.strip()),
                (Doubt.MERGED, patient_pk in merged),
                (Doubt.DISPUTED, patient_pk in disputed),
                (Doubt.TWO_IDS_IN_STUDY, study_uid in studies),
                (Doubt.TWO_IDS_FOR_UID, number in conflicts),
                (Doubt.TWO_IDS_FOR_PIXELS, pixel_sha256 in pixels),
            )
            first = next((doubt for doubt, applies in doubts if applies), None)
            yield LabelledImage(number, (patient_id, issuer), file_digest, first)
        last = rows[-1][0]


def _merged(session: Session) -> set[int]:
    maybe_one = and_(Alert.kind.in_(saying(AlertKind.DUPLICATE_RECORD)), _believed())
    rows = session.execute(select(Alert.patient_pk, Alert.other_patient_pk).where(maybe_one))
    return {number for row in rows for number in row if number is not None}


def _disputed(session: Session) -> set[int]:
    kinds = saying(AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH)
    return set(session.scalars(select(Alert.patient_pk).where(Alert.kind.in_(kinds), _believed())))


def _believed() -> ColumnElement[bool]:
    return or_(
        Alert.state.in_((*WAITING, AlertState.CONFIRMED)),
        and_(Alert.state == AlertState.HELD, Alert.probability >= 0.5),
    )


def _studies(session: Session) -> set[str]:
    several = select(Study.study_instance_uid).join(Patient, Study.patient_pk == Patient.id)
    return set(session.scalars(several.group_by(Study.study_instance_uid).having(_SEVERAL_PERSONS)))


def _pixels(session: Session) -> set[str]:
    several = select(Instance.pixel_sha256).join(Patient, Instance.patient_pk == Patient.id)
    several = several.where(Instance.pixel_sha256.is_not(None), Instance.state != ImageState.UNSUITABLE)
    found = session.scalars(several.group_by(Instance.pixel_sha256).having(_SEVERAL_PERSONS))
    return {digest for digest in found if digest is not None}


def _conflicts(session: Session) -> set[int]:
    conflict = select(Variant.instance_pk).join(Instance, Variant.instance_pk == Instance.id)
    return set(session.scalars(conflict.where(Variant.patient_pk != Instance.patient_pk, ~Variant.superseded)))


_SEVERAL_PERSONS = func.count(distinct(func.coalesce(Patient.person_pk, Patient.id))) > 1
# The label that stands for a person.
_FIRST = aliased(Patient)
_IMAGES = (
    select(
        Instance.id,
        Instance.patient_pk,
        _FIRST.patient_id,
        _FIRST.issuer,
        Study.study_instance_uid,
        Instance.state,
        Instance.pixel_sha256,
        Instance.file_digest,
    )
    .join(Patient, Instance.patient_pk == Patient.id)
    .join(_FIRST, _FIRST.id == func.coalesce(Patient.person_pk, Patient.id))
    .join(Series, Instance.series_pk == Series.id)
    .join(Study, Series.study_pk == Study.id)
    .order_by(Instance.id)
)
