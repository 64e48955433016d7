"""Which images make a training batch: a few patients of each kind, two images each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.errors import ConfigInvalid

_RIVALS_TOGETHER = 3


@dataclass(frozen=True)
class PatientGroup:
    """Patients whose images look alike apart from the person, so that they are each other's hard negatives.

    Attributes:
        images: of each patient, the indices of its images.
        patients_per_batch: how many of the group join each batch.
        paired_share: share of these drawn from patients with two or more images, 0 to 1; a patient with one image
            contributes it twice, to be augmented differently.
        rivals: of each patient, the positions in `images` of the other patients that look most like it; if given,
            patients join a batch together with some of their rivals (P1's iterative hard negatives).
    """

    images: tuple[tuple[int, ...], ...]
    patients_per_batch: int
    paired_share: float
    rivals: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.paired_share <= 1:
            raise ConfigInvalid(f"The share of paired patients must be from 0 to 1, not {self.paired_share}.")
        if self.patients_per_batch > len(self.images):
            raise ConfigInvalid(
                f"A batch cannot hold {self.patients_per_batch} patients of a group of {len(self.images)}."
            )


def group_patients(patients: Sequence[str], indices: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Collect `indices` by the patient each belongs to; `patients[i]` is the patient of image i."""
    collected: dict[str, list[int]] = {}
    for index in indices:
        collected.setdefault(patients[index], []).append(index)
    return tuple(tuple(images) for images in collected.values())


def batches(groups: Sequence[PatientGroup], rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Draw batches without end: int64 (2·P,), the two images of a patient next to each other, no patient twice."""
    while True:
        yield np.concatenate([_draw(group, rng) for group in groups])


def _draw(group: PatientGroup, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    queue = _queue(group, rng)
    if group.rivals is not None:
        queue = _with_rivals(queue, group.rivals, rng)
    chosen = [group.images[patient] for patient in queue[: group.patients_per_batch]]
    pairs = [rng.choice(patient, 2, replace=len(patient) == 1) for patient in chosen]
    return np.concatenate(pairs).astype(np.int64) if pairs else np.empty(0, dtype=np.int64)


def _queue(group: PatientGroup, rng: np.random.Generator) -> list[int]:
    """All patients in random order, but the first `patients_per_batch` in the wanted mix."""
    order = rng.permutation(len(group.images)).tolist()
    paired = [patient for patient in order if len(group.images[patient]) > 1]
    single = [patient for patient in order if len(group.images[patient]) == 1]
    wanted = min(round(group.patients_per_batch * group.paired_share), len(paired))
    wanted = max(wanted, group.patients_per_batch - len(single))
    rest = group.patients_per_batch - wanted
    mixed = paired[:wanted] + single[:rest]
    return [*(mixed[i] for i in rng.permutation(len(mixed))), *paired[wanted:], *single[rest:]]


def _with_rivals(queue: list[int], rivals: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> list[int]:
    """Put after each patient of the queue up to three of its rivals; no patient twice."""
    ordered: dict[int, None] = {}
    for patient in queue:
        ordered.setdefault(patient)
        for rival in rng.permutation(rivals[patient])[:_RIVALS_TOGETHER].tolist():
            ordered.setdefault(rival)
    return list(ordered)
