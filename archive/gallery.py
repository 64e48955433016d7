"""Reading codes: the probe, the images of its label and of others, and all of them page by page for the index."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, case, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from archive.corrections import is_rejected
from archive.models import Alert, Code, Instance, Patient, Series
from archive.states import WAITING, AlertKind, AlertState, ImageState, saying

# Values in one IN (...) of a query; SQLite allows 32,766.
MOST_VALUES = 500

# A label is Patient ID with issuer; labels that were joined are one person. Images without a Patient ID may each show
# anybody: each stands for itself, under a negative number that no patient's row has.
PERSON = case(
    (Patient.person_pk.is_not(None), Patient.person_pk),
    (func.trim(Patient.patient_id) == "", -Instance.id),
    else_=Instance.patient_pk,
)


@dataclass(frozen=True, eq=False)
class Images:
    """Encoded images, in no particular order.

    Attributes:
        instance: int64 (n,), ids.
        person: int64 (n,), the label's row (of labels that were joined, the first), or the negative id of an image
            without Patient ID.
        embedding: float32 (n, d), L2-normalised. code: uint8 (n, bits/8).
    """

    instance: NDArray[np.int64]
    person: NDArray[np.int64]
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.instance)

    def only(self, instance_ids: Collection[int]) -> Images:
        """Those with these ids."""
        rows = np.isin(self.instance, list(instance_ids))
        return Images(self.instance[rows], self.person[rows], self.embedding[rows], self.code[rows])


@dataclass(frozen=True, eq=False)
class Probe:
    """The image to be checked; `model_id`, `embedding` and `code` are None and empty before it is encoded.

    `judge_again` asks for another verdict of a MATCHED image.
    """

    instance_id: int
    patient_pk: int
    person: int
    study_pk: int
    state: ImageState
    judge_again: bool
    pixel_sha256: str | None
    model_id: str | None
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]

    @property
    def is_labelled(self) -> bool:
        """Whether it carries a Patient ID, or was said to show the same person as one that does."""
        return self.person > 0


@dataclass(frozen=True, eq=False)
class Page:
    """Some gallery images without their embeddings: instance int64 (n,), person int64 (n,), code uint8 (n, bits/8)."""

    instance: NDArray[np.int64]
    person: NDArray[np.int64]
    code: NDArray[np.uint8]


@dataclass(frozen=True)
class Twin:
    """An image with the same pixels as another; `person` as in `Images`."""

    instance_id: int
    person: int


def load_probe(session: Session, instance_id: int) -> Probe | None:
    """The image with an id and what is known of it; None when it is gone."""
    row = session.execute(_PROBE, {"instance": instance_id}).one_or_none()
    if row is None:
        return None
    number, patient_pk, person, study_pk, state, again, pixels, model_id, embedding, code = row
    vector, bits = np.frombuffer(embedding or b"", "<f4"), np.frombuffer(code or b"", np.uint8)
    return Probe(number, patient_pk, person, study_pk, state, again, pixels, model_id, vector, bits)


def priors(session: Session, probe: Probe, model_id: str) -> Images:
    """The probe's priors: matched images of its label's person, in other studies, whose label is not in doubt.

    Images of the probe's own study share whatever happened to its label, so they say nothing about it. An image without
    Patient ID has no priors.
    """
    if not probe.is_labelled:
        return _images([], [], [])
    asked = {"persons": [probe.person], "model": model_id, "study": probe.study_pk}
    rows = session.execute(_TRUSTED_OF_PERSONS, asked).all()
    return _collect([row for row in rows if row[0] != probe.instance_id])


def images_of(session: Session, persons: Collection[int], probe: Probe, model_id: str) -> Images:
    """All images of other persons in other studies than the probe's, whose label is not in doubt.

    Args:
        persons: as in `Images.person`, without the probe's own.
    """
    rows: list[Any] = []
    asked = {"model": model_id, "study": probe.study_pk}
    for labels in _batches(sorted(p for p in persons if p > 0)):
        rows += session.execute(_TRUSTED_OF_PERSONS, {"persons": labels, **asked}).all()
    for unlabelled in _batches(sorted(-p for p in persons if p < 0)):
        rows += session.execute(_TRUSTED_IMAGES, {"instances": unlabelled, **asked}).all()
    return _collect(rows)


def embeddings_of(session: Session, instance_ids: Sequence[int]) -> Images:
    """The encoded images with these ids, as far as they exist."""
    rows: list[Any] = []
    for ids in _batches(instance_ids):
        rows += session.execute(_CODED_IMAGES, {"instances": ids}).all()
    return _collect(rows)


def members(session: Session, instance_ids: Collection[int], model_id: str) -> Images:
    """Those of these images that belong to the gallery of a network, see `pages`."""
    rows: list[Any] = []
    for ids in _batches(sorted(instance_ids)):
        rows += session.execute(_MEMBERS, {"instances": ids, "model": model_id}).all()
    return _collect(rows)


def demographics(session: Session, persons: Collection[int]) -> dict[int, tuple[str, str]]:
    """Sex and birth date of the records that persons are numbered by, "" where unknown; those without Patient ID have
    none."""
    found: dict[int, tuple[str, str]] = {}
    for numbers in _batches(sorted(p for p in persons if p > 0)):
        rows = session.execute(_DEMOGRAPHICS, {"persons": numbers})
        found |= {number: (sex, birth_date) for number, sex, birth_date in rows}
    return found


def pages(session: Session, model_id: str, size: int = 10_000) -> Iterator[Page]:
    """Everything that belongs to the gallery: all matched images with codes of a network, `size` at a time by id."""
    last = 0
    # From the connection itself: the session's own way takes a third longer for a million rows.
    connection = session.connection()
    while rows := connection.execute(_PAGE.limit(size), {"model": model_id, "last": last}).all():
        last = rows[-1][0]
        yield Page(*_numbers(rows), _bytes([row[2] for row in rows]))


def count_outdated(session: Session, model_id: str) -> int:
    """How many matched images have codes of another network only, and so are not in the gallery."""
    # Those codes first, by their index: most galleries have none, and SQLite would look up the codes of every image.
    outdated = select(Code.instance_pk).where(Code.model_id != model_id)
    query = select(func.count()).select_from(Instance)
    return session.scalar(query.where(Instance.id.in_(outdated), Instance.state == ImageState.MATCHED)) or 0


def same_pixels(session: Session, probe: Probe) -> Twin | None:
    """The first matched image with the probe's pixels of another person, else under another study of its own.

    The same pixels again in the same study are a harmless repetition and not reported; nor are those of an image that
    was rejected and is now sent under another label, see `archive.corrections`.
    """
    if probe.pixel_sha256 is None:
        return None
    asked = {"pixels": probe.pixel_sha256, "study": probe.study_pk, "label": probe.patient_pk}
    rows = session.execute(_SAME_PIXELS, asked).all()
    twins = [Twin(row[0], row[1]) for row in rows if row[0] != probe.instance_id]
    return min(twins, key=lambda twin: (twin.person == probe.person, twin.instance_id), default=None)


def _collect(rows: Sequence[Any]) -> Images:
    return _images([row[:2] for row in rows], [row[2] for row in rows], [row[3] for row in rows])


def _images(numbers: Sequence[Any], embeddings: Sequence[bytes], codes: Sequence[bytes]) -> Images:
    instance, person = _numbers(numbers)
    dim = len(embeddings[0]) // 4 if embeddings else 0
    vectors = np.frombuffer(b"".join(embeddings), "<f4").reshape(len(embeddings), dim)
    return Images(instance, person, vectors, _bytes(codes))


def _numbers(pairs: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.array([pair[0] for pair in pairs], np.int64), np.array([pair[1] for pair in pairs], np.int64)


def _bytes(codes: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), len(codes[0]) if codes else 0)


def _batches(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), MOST_VALUES):
        yield values[start : start + MOST_VALUES]


def label_in_doubt(but_waiting: Collection[AlertKind] = ()) -> ColumnElement[bool]:
    """Whether an image's own alert says that its label is more likely wrong than right, and nobody has denied it.

    Args:
        but_waiting: alerts of these kinds count only once a person has confirmed them.
    """
    alert, own, other = aliased(Alert), aliased(Patient), aliased(Patient)
    believed = or_(
        alert.state == AlertState.CONFIRMED,
        and_(alert.state.in_((*WAITING, AlertState.HELD)), alert.probability >= 0.5, alert.kind.not_in(but_waiting)),
    )
    mislabelled = alert.kind.in_(saying(AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH))
    elsewhere = exists().where(
        own.id == alert.patient_pk,
        other.id == alert.other_patient_pk,
        func.coalesce(own.person_pk, own.id) != func.coalesce(other.person_pk, other.id),
    )
    about_label = or_(mislabelled, and_(alert.key.startswith("pixels:"), elsewhere))
    return exists().where(alert.instance_pk == Instance.id, about_label, believed)


# Built once: for each image, SQLAlchemy would take longer to build these than the database to answer them.
_PROBE = (
    select(
        Instance.id,
        Instance.patient_pk,
        PERSON,
        Series.study_pk,
        Instance.state,
        Instance.judge_again,
        Instance.pixel_sha256,
        Code.model_id,
        Code.embedding,
        Code.code,
    )
    .join(Patient, Instance.patient_pk == Patient.id)
    .join(Series, Instance.series_pk == Series.id)
    .outerjoin(Code, Code.instance_pk == Instance.id)
    .where(Instance.id == bindparam("instance"))
)
_CODED = (
    select(Instance.id, PERSON, Code.embedding, Code.code)
    .join(Patient, Instance.patient_pk == Patient.id)
    .join(Series, Instance.series_pk == Series.id)
    .join(Code, Code.instance_pk == Instance.id)
)
_TRUSTED = _CODED.where(
    Instance.state == ImageState.MATCHED,
    Code.model_id == bindparam("model"),
    Series.study_pk != bindparam("study"),
    ~label_in_doubt(),
)
_PERSONS: BindParameter[int] = bindparam("persons", expanding=True)
_TRUSTED_OF_PERSONS = _TRUSTED.where(
    # A person's number is that of its only label or of the first of several, which are all found by the second half.
    Instance.patient_pk.in_(select(Patient.id).where(or_(Patient.id.in_(_PERSONS), Patient.person_pk.in_(_PERSONS))))
)
_DEMOGRAPHICS = select(Patient.id, Patient.sex, Patient.birth_date).where(Patient.id.in_(_PERSONS))
_TRUSTED_IMAGES = _TRUSTED.where(Instance.id.in_(bindparam("instances", expanding=True)))
_CODED_IMAGES = _CODED.where(Instance.id.in_(bindparam("instances", expanding=True)))
_MEMBERS = _CODED_IMAGES.where(Instance.state == ImageState.MATCHED, Code.model_id == bindparam("model"))
_SAME_PIXELS = (
    select(Instance.id, PERSON)
    .join(Patient, Instance.patient_pk == Patient.id)
    .join(Series, Instance.series_pk == Series.id)
    .where(
        Instance.pixel_sha256 == bindparam("pixels"),
        Instance.state == ImageState.MATCHED,
        Series.study_pk != bindparam("study"),
        or_(Instance.patient_pk == bindparam("label"), ~is_rejected()),
    )
)
# By the key of the codes: SQLite walks these by their network, in that order, and stops where a page is full. By the id
# of the images, though the same number, it would sort all that are left for every page.
_PAGE = (
    select(Code.instance_pk, PERSON, Code.code)
    .join(Instance, Code.instance_pk == Instance.id)
    .join(Patient, Instance.patient_pk == Patient.id)
    .where(Instance.state == ImageState.MATCHED, Code.model_id == bindparam("model"))
    .where(Code.instance_pk > bindparam("last"))
    .order_by(Code.instance_pk)
)
