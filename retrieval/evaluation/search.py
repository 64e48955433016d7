"""Leave-one-out search: does each image find the other images of its patient in the gallery?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Search:
    """What each image that has a partner found; m queries.

    Attributes:
        patient: int64 (m,), patient number of the query.
        first_hit: int64 (m,), place of the first partner in the list, from 1.
        average_precision: float64 (m,), over the first R places, divided by R.
        precision_at_r: float64 (m,), share of partners among the first R places.
    """

    patient: Numbers
    first_hit: Numbers
    average_precision: Floats
    precision_at_r: Floats

    @property
    def queries(self) -> int:
        """How many images have a partner to be found."""
        return len(self.patient)

    @property
    def precision_at_1(self) -> float:
        """Share of queries, in [0, 1], whose nearest image is of the same patient; NaN without queries."""
        return self.hit_at(1)

    @property
    def map_at_r(self) -> float:
        """Mean of the average precisions, in [0, 1]; NaN without queries."""
        return float(self.average_precision.mean()) if self.queries else float("nan")

    @property
    def r_precision(self) -> float:
        """Mean share of partners among as many places as there are partners, in [0, 1]; NaN without queries."""
        return float(self.precision_at_r.mean()) if self.queries else float("nan")

    def hit_at(self, length: int) -> float:
        """Share of queries, in [0, 1], with a partner among the first `length`; NaN without queries. P1's table."""
        return float((self.first_hit <= length).mean()) if self.queries else float("nan")


def search(similarity: npt.NDArray[np.floating], patients: Numbers) -> Search:
    """Search each image's partners among all others.

    Average precision is taken over the first R places and divided by R, the number of the patient's other images, so
    partners that are not found count as misses. Ties keep the order of the images.

    Args:
        similarity: (n, n), row: query. patients: (n,).

    Source: mAP@R, Musgrave et al. 2020 (arXiv 2003.08505), §3.2.
    """
    asking, first_hit, average, precision = [], [], [], []
    for query in range(len(patients)):
        relevant = patients == patients[query]
        wanted = int(relevant.sum()) - 1
        if wanted == 0:
            continue
        scores = similarity[query].astype(np.float64)
        scores[query] = -np.inf
        correct = relevant[np.argsort(-scores, kind="stable")[: len(patients) - 1]]
        first = correct[:wanted]
        asking.append(int(patients[query]))
        first_hit.append(int(np.argmax(correct)) + 1)
        precision.append(float(first.mean()))
        average.append(float((np.cumsum(first) / np.arange(1, wanted + 1) * first).sum() / wanted))
    return Search(
        np.array(asking, dtype=np.int64),
        np.array(first_hit, dtype=np.int64),
        np.array(average, dtype=np.float64),
        np.array(precision, dtype=np.float64),
    )
