"""P1's iterative hard negatives: for each patient the others that the present network takes for it most easily."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.data.hard_negatives import AlikeToNetwork
from retrieval.data.manifest import ImageRow
from retrieval.errors import CheckpointInvalid

Rivals = tuple[tuple[int, ...], ...]

_IMAGES_A_RIVAL = 3


def find_rivals(
    rows: Sequence[ImageRow], patients: Sequence[Sequence[int]], embedding: npt.NDArray[np.float32], count: int
) -> Rivals:
    """Search the images of other patients that lie nearest to each image, with the index that the product searches.

    Args:
        rows: n images.
        patients: of each patient of a group, the positions in `rows` of its images.
        embedding: float32 (n, d), L2-normalised.
        count: most rivals of a patient, ≥ 1.

    Returns:
        Of each patient, the positions in `patients` of its rivals, the most similar first; fewer than `count` if the
        nearest images belong to few patients.

    Source: P1, iterative hard negatives.
    """
    images = [image for own in patients for image in own]
    owner = np.repeat(np.arange(len(patients)), [len(own) for own in patients])
    vectors = embedding[images]
    near = AlikeToNetwork([rows[image] for image in images], vectors, _IMAGES_A_RIVAL * count)
    similarity: list[dict[int, float]] = [{} for _ in patients]
    for position, patient in enumerate(owner.tolist()):
        found = near.of(position)
        for other, cosine in zip(owner[found].tolist(), (vectors[found] @ vectors[position]).tolist(), strict=True):
            similarity[patient][other] = max(cosine, similarity[patient].get(other, -1.0))
    return tuple(tuple(sorted(best, key=lambda other: (-best[other], other))[:count]) for best in similarity)


def save_rivals(path: Path, groups: Sequence[Rivals]) -> None:
    """Write the rivals of every group's patients, so that a resumed run batches the same people together."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(groups), encoding="utf-8")
    partial.replace(path)


def load_rivals(path: Path) -> tuple[Rivals, ...]:
    """Read what `save_rivals` wrote.

    Raises:
        CheckpointInvalid: missing or unreadable.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return tuple(tuple(tuple(map(int, rivals)) for rivals in group) for group in stored)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointInvalid(
            f"{path} is missing or damaged, and without it the run cannot go on as it began; start a new one."
        ) from error
