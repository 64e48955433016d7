"""How well each kind of code finds images with the same findings, beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.codes import findings_half
from retrieval.evaluation.bootstrap import interval, patient_draws, repeated, weighted_mean
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.comparators import pixel_vectors
from retrieval.evaluation.encodings import Codes
from retrieval.evaluation.findings import finding_sets, findings_search
from retrieval.evaluation.methods import Method

FINDINGS_HALF = "findings half of the code"
CHANCE = "chance"


@dataclass(frozen=True)
class FindingsFigures:
    """Mean average precision, with 95 % over patients, and nDCG@100 of one method on one dataset, in [0, 1]."""

    dataset: str
    method: str
    queries: int
    findings: int
    mean_average_precision: float
    map_low: float
    map_high: float
    ndcg_at_100: float


def findings_figures(
    parts: Sequence[Cohort], codes: Codes, images: npt.NDArray[np.uint8], rounds: int
) -> list[FindingsFigures]:
    """Search by findings in every cohort that has at least two known ones; with one, every hit would be right."""
    return [
        figures
        for part in parts
        if _kinds(part) > 1
        for name, distance in _distances(part, codes, images).items()
        if (figures := cohort_findings(part, name, distance, rounds)) is not None
    ]


def cohort_findings(
    part: Cohort, method: str, distance: npt.NDArray[np.floating], rounds: int
) -> FindingsFigures | None:
    """Search by findings in a cohort of n images; None if fewer than two are known: with one, every hit is right.

    Args:
        method: for the tables. distance: float (n, n), lower is more alike. rounds: draws of patients.
    """
    kinds = _kinds(part)
    return _figures(part, method, kinds, distance, rounds) if kinds > 1 else None


def _kinds(part: Cohort) -> int:
    """How many findings are known of the cohort's images."""
    return len(set().union(*finding_sets([row.finding for row in part.rows])))


def _distances(part: Cohort, codes: Codes, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    at = part.positions
    everyone = np.arange(len(at), dtype=np.int64)
    return {
        FINDINGS_HALF: -Method("", np.ascontiguousarray(findings_half(codes.code))).similarity(at),
        "whole code": -Method("", codes.code).similarity(at),
        "embedding": -Method("", codes.embedding).similarity(at),
        "pixels 32x32": -Method("", pixel_vectors(images[at])).similarity(everyone),
        CHANCE: np.zeros((len(at), len(at)), dtype=np.float32),
    }


def _figures(
    part: Cohort,
    method: str,
    kinds: int,
    distance: npt.NDArray[np.floating],
    rounds: int,
) -> FindingsFigures:
    searched = findings_search(distance, finding_sets([row.finding for row in part.rows]), part.patients)

    def precision(times: npt.NDArray[np.float64]) -> tuple[float, ...]:
        return (weighted_mean(searched.average_precision, searched.patient, times),)

    span = interval(repeated(precision, patient_draws(int(part.patients.max()) + 1, rounds))[:, 0])
    return FindingsFigures(
        dataset=part.name,
        method=method,
        queries=len(searched.patient),
        findings=kinds,
        mean_average_precision=float(searched.average_precision.mean()),
        map_low=span.low,
        map_high=span.high,
        ndcg_at_100=float(searched.ndcg.mean()),
    )
