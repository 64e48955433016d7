"""The archive's own images as a calibration needs them: codes whose Patient ID may be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.gallery import MOST_VALUES
from archive.labels import labelled_images
from archive.models import Code, Instance, Patient, Series, Study

_DAYS_A_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class LabelledCodes:
    """n images.

    Attributes:
        person: int64 (n,), rows of the labels. view: of each as its header says, "" if it does not.
        age: of each in years, None where birth date or study date is missing.
        embedding: float32 (n, d), of unit length. code: uint8 (n, bits/8).
    """

    person: NDArray[np.int64]
    view: tuple[str, ...]
    age: tuple[float | None, ...]
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]

    @property
    def with_priors(self) -> int:
        """How many persons have two images or more."""
        return int((np.unique(self.person, return_counts=True)[1] > 1).sum())


def labelled_codes(session: Session, model_id: str, most: int, seed: int = 0) -> LabelledCodes:
    """Images with codes of a network whose Patient ID may be believed, whole persons, those with several first.

    One study is one occasion: of a study, only the first image is taken, since images of one moment are more alike than
    any that a verdict compares.

    Args:
        most: images at most; beyond, persons are drawn by chance from each group.
        seed: of the draw.
    """
    believed = [image.instance_id for image in labelled_images(session) if image.doubt is None]
    facts: dict[int, list[tuple[int, str, float | None]]] = {}
    seen: set[int] = set()
    for instance, person, study, view, born, taken in _rows(session, believed, model_id):
        if study not in seen:
            seen.add(study)
            facts.setdefault(person, []).append((instance, view, _age(born, taken)))
    chosen = _drawn({person: len(found) for person, found in facts.items()}, most, seed)
    ids = [one[0] for person in chosen for one in facts[person]]
    codes = _codes(session, ids)
    return LabelledCodes(
        person=np.array([person for person in chosen for _ in facts[person]], np.int64),
        view=tuple(one[1] for person in chosen for one in facts[person]),
        age=tuple(one[2] for person in chosen for one in facts[person]),
        embedding=np.stack([np.frombuffer(codes[i][0], "<f4") for i in ids]) if ids else np.empty((0, 0), np.float32),
        code=np.stack([np.frombuffer(codes[i][1], np.uint8) for i in ids]) if ids else np.empty((0, 0), np.uint8),
    )


def _drawn(images: dict[int, int], most: int, seed: int) -> list[int]:
    """Persons with several images, then others, by chance, until there are enough images."""
    rng = np.random.default_rng(seed)
    groups = [sorted(p for p, n in images.items() if n > 1), sorted(p for p, n in images.items() if n == 1)]
    # Half of the room is for persons with one image: as strangers they are worth as much, and there are more of them.
    chosen: list[int] = []
    for group, room in zip(groups, (most // 2, most), strict=True):
        taken = sum(images[person] for person in chosen)
        for person in rng.permutation(np.array(group, np.int64)).tolist():
            if taken + images[person] <= room:
                chosen.append(person)
                taken += images[person]
    return chosen


def _rows(
    session: Session, ids: Sequence[int], model_id: str
) -> Iterator[tuple[int, int, int, str, str, datetime | None]]:
    for start in range(0, len(ids), MOST_VALUES):
        query = (
            select(
                Instance.id,
                Instance.patient_pk,
                Series.study_pk,
                Instance.view,
                Patient.birth_date,
                Study.acquired_at,
            )
            .join(Patient, Instance.patient_pk == Patient.id)
            .join(Series, Instance.series_pk == Series.id)
            .join(Study, Series.study_pk == Study.id)
            .join(Code, Code.instance_pk == Instance.id)
            .where(Instance.id.in_(ids[start : start + MOST_VALUES]), Code.model_id == model_id)
            .order_by(Instance.id)
        )
        yield from session.execute(query).tuples()


def _codes(session: Session, ids: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
    found: dict[int, tuple[bytes, bytes]] = {}
    for start in range(0, len(ids), MOST_VALUES):
        query = select(Code.instance_pk, Code.embedding, Code.code)
        for number, embedding, code in session.execute(
            query.where(Code.instance_pk.in_(ids[start : start + MOST_VALUES]))
        ):
            found[number] = embedding, code
    return found


def _age(born: str, taken: datetime | None) -> float | None:
    try:
        birth = datetime.strptime(born, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if taken is None else (taken - birth).days / _DAYS_A_YEAR
