"""Do codes find images with the same findings? mAP and nDCG@100, with ties and traps accounted for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_UNKNOWN = frozenset({"", "todo", "unknown"})
_DEPTH = 100


@dataclass(frozen=True)
class FindingsSearch:
    """Search for images that share a finding; m queries.

    Attributes:
        patient: int64 (m,), patient number of the query.
        average_precision, ndcg: float64 (m,), in [0, 1]; 0 where nothing is relevant.
    """

    patient: Numbers
    average_precision: Floats
    ndcg: Floats


def finding_sets(findings: Sequence[str]) -> list[frozenset[str]]:
    """Findings of each image, from texts such as `Effusion|Mass`; empty where they are not known.

    `no finding` is a finding like any other: normal images are relevant to each other.
    """
    parts = [{part.strip().lower() for part in re.split(r"[|,;]", text)} for text in findings]
    return [frozenset(part - _UNKNOWN) for part in parts]


def findings_search(
    distance: npt.NDArray[np.number], findings: Sequence[frozenset[str]], patients: Numbers
) -> FindingsSearch:
    """Search each image with known findings among the images with known findings of other patients.

    An image is relevant if it shares a finding. Average precision divides by all relevant images. A query to which
    nothing is relevant counts 0. Images at the same distance have no order: both figures are the expected value over
    all orders of ties. With equal distances everywhere this is exactly the level of chance.

    Args:
        distance: (n, n), lower is more alike, row: query. findings: n. patients: (n,).

    Source: P4, §4.1 (mAP, nDCG@100, gain 1 for a relevant image); ties: McSherry and Najork 2008, ECIR, eq. 7 and 11.
    """
    known = np.array([bool(found) for found in findings])
    names = sorted({name for found in findings for name in found})
    table = np.array([[name in found for name in names] for found in findings], dtype=np.int64).reshape(len(known), -1)
    shared = table @ table.T > 0
    asking, average, gain = [], [], []
    for query in np.flatnonzero(known):
        others = np.flatnonzero(known & (patients != patients[query]))
        precision, discounted = expected_precision_and_ndcg(distance[query, others], shared[query, others])
        asking.append(int(patients[query]))
        average.append(precision)
        gain.append(discounted)
    return FindingsSearch(np.array(asking, dtype=np.int64), np.array(average), np.array(gain))


def expected_precision_and_ndcg(
    distance: npt.NDArray[np.number], relevant: npt.NDArray[np.bool_], depth: int = _DEPTH
) -> tuple[float, float]:
    """Average precision and nDCG of one list, each the mean over all orders of its ties; (0, 0) if nothing is relevant.

    Args:
        distance: (m,). relevant: bool (m,). depth: nDCG looks at so many places.
    """
    total = int(relevant.sum())
    if total == 0:
        return 0.0, 0.0
    _, group, sizes = np.unique(distance, return_inverse=True, return_counts=True)
    hits = np.bincount(group, relevant, minlength=len(sizes))
    # Of each place: the size and hits of its group of ties, its rank in the group, and what came before the group.
    size, hit = np.repeat(sizes, sizes), np.repeat(hits, sizes)
    place = np.arange(1, len(distance) + 1)
    within = place - np.repeat(np.cumsum(sizes) - sizes, sizes)
    before = np.repeat(np.cumsum(hits) - hits, sizes)
    share = hit / size
    earlier = (within - 1) * (hit - 1) / np.maximum(size - 1, 1)
    precision = float((share * (before + 1 + earlier) / place).sum() / total)
    discount = 1.0 / np.log2(place[:depth] + 1)
    return precision, float((share[:depth] * discount).sum() / discount[:total].sum())
