"""Reading the whole gallery for an audit: whom each image is filed under, its codes, and which labels are in doubt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.gallery import PERSON, label_in_doubt
from archive.models import Code, Instance, Patient, Series
from archive.states import AlertKind, ImageState

_PAGE = 5000


@dataclass(frozen=True, eq=False)
class WholePage:
    """Some images, by id.

    Attributes:
        instance, person, study: int64 (n,), see `archive.gallery.PERSON`.
        exposure: int64 (n,), the same number for the same pixels; the negative id where pixels are not known.
        embedding: float32 (n, d), of unit length. code: uint8 (n, bits/8).
    """

    instance: NDArray[np.int64]
    person: NDArray[np.int64]
    study: NDArray[np.int64]
    exposure: NDArray[np.int64]
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.instance)


def extent(session: Session, model_id: str, newest: int | None = None) -> tuple[int, int]:
    """How many images the gallery holds up to an id, by default up to the newest, and the highest id among them."""
    query = select(func.count(), func.coalesce(func.max(Instance.id), 0))
    query = query.select_from(Instance).join(Code, Code.instance_pk == Instance.id)
    query = query.where(Instance.state == ImageState.MATCHED, Code.model_id == model_id)
    count, last = session.execute(query if newest is None else query.where(Instance.id <= newest)).one()
    return count, last


def whole_gallery(session: Session, model_id: str, newest: int) -> Iterator[WholePage]:
    """All images of the gallery up to the id `newest`, some thousand at a time."""
    query = (
        select(Code.instance_pk, PERSON, Series.study_pk, Instance.pixel_sha256, Code.embedding, Code.code)
        .join(Instance, Code.instance_pk == Instance.id)
        .join(Patient, Instance.patient_pk == Patient.id)
        .join(Series, Instance.series_pk == Series.id)
        .where(Instance.state == ImageState.MATCHED, Code.model_id == model_id, Code.instance_pk <= newest)
        .order_by(Code.instance_pk)  # see `archive.gallery._PAGE`
        .limit(_PAGE)
    )
    last = 0
    while rows := session.execute(query.where(Code.instance_pk > last)).all():
        last = rows[-1][0]
        numbers = np.array([row[:3] for row in rows], np.int64)
        exposures = np.array([_exposure(row[0], row[3]) for row in rows], np.int64)
        vectors = np.frombuffer(b"".join(row[4] for row in rows), "<f4").reshape(len(rows), -1)
        codes = np.frombuffer(b"".join(row[5] for row in rows), np.uint8).reshape(len(rows), -1)
        yield WholePage(numbers[:, 0], numbers[:, 1], numbers[:, 2], exposures, vectors, codes)


def doubted(session: Session) -> set[int]:
    """Ids of images whose label is in doubt for other reasons than an audit's finding that waits for a person."""
    waiting = tuple(kind for kind in AlertKind if kind.of_audit)
    return set(session.scalars(select(Instance.id).where(label_in_doubt(but_waiting=waiting))))


def study_count(session: Session, model_id: str) -> int:
    """How many studies have images in the gallery."""
    images = select(Series.study_pk).join(Instance, Instance.series_pk == Series.id)
    images = images.join(Code, Code.instance_pk == Instance.id)
    wanted = images.where(Instance.state == ImageState.MATCHED, Code.model_id == model_id).distinct()
    return session.scalar(select(func.count()).select_from(wanted.subquery())) or 0


def _exposure(instance_id: int, pixel_sha256: str | None) -> int:
    if pixel_sha256 is None:
        return -instance_id
    # Eight bytes instead of 64 letters: two of a million different exposures would share them once in 20 million such
    # galleries.
    return int.from_bytes(hashlib.blake2b(pixel_sha256.encode(), digest_size=8).digest(), "big") >> 1
