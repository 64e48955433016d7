"""Does the gate keep back what could not be matched? Probes blurred more and more, against a gallery of clean images.

The idea is that of P3's tables: recognition among all pairs, and among those only whose image is informative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.wrong_images import blurred
from retrieval.data.manifest import ImageRow
from retrieval.encoder import Encoder
from retrieval.evaluation.pairs import fair_pairs, numbered
from retrieval.evaluation.search import search
from retrieval.gate import detail

BLURS = (0.0, 2.0, 4.0, 8.0, 16.0)
"""Deviations in pixels of the 320-pixel image."""

Numbers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Matching:
    """Recognition of one set of probes: share of all probes, AUC of the pairs, P@1, median cosine of one person."""

    probes: str
    share: float
    auc: float
    precision_at_1: float
    own_cosine: float


@dataclass(frozen=True)
class Informativeness:
    """Rank correlation of an image's detail with its best cosine to another image of its patient, n clean images."""

    correlation: float
    images: int


def matching(
    encoder: Encoder, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8]
) -> tuple[list[Matching], Informativeness]:
    """Match blurred probes with and without the gate.

    Args:
        rows: n images of patients that the network did not learn from. images: uint8 (n, h, w), prepared.
    """
    patients, views = numbered([row.patient for row in rows]), numbered([row.view for row in rows])
    levels = [
        encoder.as_given(np.stack([blurred(image, sigma) for image in images]) if sigma else images) for sigma in BLURS
    ]
    similarity = [np.asarray(level.embedding @ levels[0].embedding.T) for level in levels]
    passed = [level.gate.suitable for level in levels]
    everyone = np.ones(len(rows), dtype=np.bool_)
    found = [
        _figures(f"blurred by {sigma:g}" if sigma else "clean", matrix, everyone, patients, views)
        for sigma, matrix in zip(BLURS, similarity, strict=True)
    ]
    found = [
        Matching(f"{f.probes}, gate passes {p.mean():.3f}", f.share, f.auc, f.precision_at_1, f.own_cosine)
        for f, p in zip(found, passed, strict=True)
    ]
    level_of = np.random.default_rng(0).integers(len(BLURS), size=len(rows))
    mixed = np.stack([similarity[level][i] for i, level in enumerate(level_of)])
    through = np.array([passed[level][i] for i, level in enumerate(level_of)])
    for name, chosen in (("mixed, all", everyone), ("mixed, gated", through), ("mixed, kept back", ~through)):
        found.append(_figures(name, mixed, chosen, patients, views))
    return found, _informativeness(similarity[0], images, patients)


def _figures(
    name: str, similarity: Matrix, probes: npt.NDArray[np.bool_], patients: Numbers, views: Numbers
) -> Matching:
    first, second = fair_pairs(patients, views)
    kept = probes[first]
    scores, same = similarity[first, second][kept], (patients[first] == patients[second])[kept]
    partners = np.bincount(patients)[patients] > 1
    hits = search(similarity, patients).first_hit[probes[partners]]
    own = [_own(similarity, patients, int(i)) for i in np.flatnonzero(probes & partners)]
    return Matching(
        name, float(probes.mean()), float(roc_auc_score(same, scores)), float((hits == 1).mean()), float(np.median(own))
    )


def _own(similarity: Matrix, patients: Numbers, probe: int) -> float:
    others = (patients == patients[probe]) & (np.arange(len(patients)) != probe)
    return float(similarity[probe, others].max())


def _informativeness(similarity: Matrix, images: npt.NDArray[np.uint8], patients: Numbers) -> Informativeness:
    probes = np.flatnonzero(np.bincount(patients)[patients] > 1)
    own = [_own(similarity, patients, int(i)) for i in probes]
    details = [detail(images[i]) for i in probes]
    return Informativeness(float(spearmanr(details, own).statistic), len(probes))
