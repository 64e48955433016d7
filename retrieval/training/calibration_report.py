"""How honest a calibration is on patients it was not fitted on, in figures and in two pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.calibration import Calibration, probability
from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.metrics import Reliability, reliability
from retrieval.evaluation.pairs import Pairs
from retrieval.normalisation import Population
from retrieval.training.calibrate import FOLDS, even_odds, fit_calibration, folds_of, log_loss

Floats = npt.NDArray[np.float64]

TOGETHER = "all"
# Shares of pairs of two persons at which the tail is held against those it was not fitted on.
LEVELS = (1e-2, 1e-3, 1e-4)
# Fewer pairs above a level tell nothing about it.
_LEAST_ABOVE = 5


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pairs whose patients a calibration did not know: each pair judged by one fitted on other patients.

    Attributes:
        ratios: float64 (m,), log likelihood ratios. rarities: float64 (m,), shares of strangers said to be as alike.
        same: bool (m,). weights: float64 (m,), half on either kind of pairs, every patient the same.
    """

    ratios: Floats
    rarities: Floats
    same: npt.NDArray[np.bool_]
    weights: Floats

    def reliability(self) -> Reliability:
        """Said against true probabilities, at even odds."""
        return reliability(probability(self.ratios), self.same, self.weights)

    def figures(self) -> dict[str, float]:
        """Expected calibration error, Brier score, log loss, and how many strangers exceed each level, as a multiple
        of what the tail said; 1 = exactly as said."""
        diagram, rarities = self.reliability(), self.rarities[~self.same]
        found = {
            "expected_calibration_error": diagram.expected_calibration_error,
            "brier": diagram.brier,
            "log_loss": log_loss(self.ratios, self.same, self.weights),
        }
        for level in LEVELS:
            if level * len(rarities) >= _LEAST_ABOVE:
                found[f"tail_{level:g}"] = float((rarities <= level).mean() / level)
        return found


def held_out(
    pairs: Mapping[str, Pairs], shares: Mapping[str, float], identity_bits: int, population: Population
) -> dict[str, HeldOut]:
    """Judge pairs of each part of the patients by a calibration fitted on the other parts; by kind, and all together.

    A kind of patients without pairs of one person is not judged by itself.

    Raises:
        CalibrationInvalid: there are too few patients to leave some out.
    """
    collected: dict[str, list[HeldOut]] = {kind: [] for kind in pairs}
    parts = {kind: folds_of(found) for kind, found in pairs.items()}
    for fold in range(FOLDS):
        inside = {kind: part == fold for kind, part in parts.items()}
        rest = {kind: found.chosen(~inside[kind].any(axis=1)) for kind, found in pairs.items()}
        model = fit_calibration(rest, shares, "", identity_bits, population)
        for kind, found in pairs.items():
            judged = found.chosen(inside[kind].all(axis=1))
            score = model.score(judged.likeness, judged.hamming, judged.verification)
            ratios, rarities = model.log_likelihood_ratio(score), model.tail.share_above(score)
            collected[kind].append(HeldOut(ratios, rarities, judged.same, even_odds(judged)))
    joined = {kind: _joined(found, np.ones(len(found))) for kind, found in collected.items()}
    whole = _joined(list(joined.values()), np.array([shares[kind] for kind in joined]))
    if not whole.same.any() or whole.same.all():
        raise CalibrationInvalid("There are too few patients with two images to leave some out and judge by them.")
    several = {kind: one for kind, one in joined.items() if one.same.any() and not one.same.all()}
    return {**several, TOGETHER: whole}


def with_figures(calibration: Calibration, judged: Mapping[str, HeldOut]) -> Calibration:
    """The calibration with its held-out figures, for the file."""
    figures = {
        f"{kind}_{name}" if kind != TOGETHER else name: value
        for kind, found in judged.items()
        for name, value in found.figures().items()
    }
    return replace(calibration, held_out=figures)


def draw(judged: Mapping[str, HeldOut], folder: Path) -> tuple[Path, Path]:
    """Write `reliability.png` and `tail.png`.

    Raises:
        OSError: the folder cannot be written.
    """
    # Here, not above: fitting needs no pictures.
    from retrieval.evaluation.plots.reliability import draw_reliability
    from retrieval.evaluation.plots.tail import draw_tail

    folder.mkdir(parents=True, exist_ok=True)
    diagrams = {kind: found.reliability() for kind, found in judged.items()}
    rarities = {kind: found.rarities[~found.same] for kind, found in judged.items()}
    return draw_reliability(diagrams, folder / "reliability.png"), draw_tail(rarities, folder / "tail.png")


def _joined(parts: list[HeldOut], shares: Floats) -> HeldOut:
    """Several as one; each counts by its share, and again half the weight is on either kind of pairs."""
    same = np.concatenate([part.same for part in parts])
    weights = np.concatenate([share * part.weights for share, part in zip(shares, parts, strict=True)])
    for kind in (same, ~same):
        if weights[kind].any():
            weights[kind] *= 0.5 / weights[kind].sum()
    ratios, rarities = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ratios", "rarities"))
    return HeldOut(ratios, rarities, same, weights)
