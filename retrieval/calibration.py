"""From similarities to evidence: how much likelier two images are of one person than of two."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import Population
from retrieval.tail import Draw, ImpostorTail

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fusion:
    """What each similarity weighs in the score; the score is a sum, without an intercept.

    Attributes:
        cosine: for each deviation by which the normalised cosine lies above strangers, ≥ 0.
        hamming: for the share of bits of the identity half that differ, ≤ 0.
        verification: for the logit of the verification head, ≥ 0; 0 when the network has none.
    """

    cosine: float
    hamming: float = 0.0
    verification: float = 0.0

    def __post_init__(self) -> None:
        if self.cosine < 0 or self.hamming > 0 or self.verification < 0:
            raise CalibrationInvalid("More similar images cannot be less likely to show one person; fit again.")


@dataclass(frozen=True)
class Calibration:
    """Weighs the similarities of a pair into a score, and says what the score is worth, fitted for even odds.

    Attributes:
        model_id: of the network it was fitted for; its numbers mean nothing for another.
        identity_bits: length of the identity half of the code.
        fusion: how similarities make a score.
        scores, log_ratios: the curve from score to natural-log likelihood ratio, both ascending; straight between its
            points, level beyond them: no data supports claims there.
        population: of two persons' cosines, see `retrieval.normalisation`.
        tail: how rare each score is between two persons.
        method: how the curve was fitted, in words.
        fitted_on: how many patients and pairs stand behind it, by kind; for the reader.
        held_out: its errors on patients it was not fitted on, see `retrieval.training.calibrate`; for the reader.
    """

    model_id: str
    identity_bits: int
    fusion: Fusion
    scores: tuple[float, ...]
    log_ratios: tuple[float, ...]
    population: Population
    tail: ImpostorTail
    method: str = "logistic"
    fitted_on: dict[str, dict[str, int]] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.identity_bits < 1:
            raise CalibrationInvalid("The identity half of a code has one bit at least.")
        if len(self.scores) < 2 or len(self.scores) != len(self.log_ratios):
            raise CalibrationInvalid("A calibration curve has two points at least, each with its ratio.")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.log_ratios) < 0):
            raise CalibrationInvalid("More similar images cannot be less likely to show one person; fit again.")
        if not self.log_ratios[0] < 0 < self.log_ratios[-1]:
            raise CalibrationInvalid("A calibration must be able to speak for and against one person; fit again.")

    @property
    def lowest(self) -> float:
        """The least log likelihood ratio it gives."""
        return self.log_ratios[0]

    @property
    def highest(self) -> float:
        """The greatest log likelihood ratio it gives."""
        return self.log_ratios[-1]

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a calibration file.

        Raises:
            CalibrationInvalid: missing, malformed, or with impossible values.
        """
        try:
            return _from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CalibrationInvalid(
                f"The calibration {path} cannot be used ({type(error).__name__}: {error}); run `lungprint calibrate`."
            ) from error

    def save(self, path: Path) -> None:
        """Write a calibration file (JSON); it appears complete under its name or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)

    def score(
        self,
        normalised: npt.NDArray[np.floating],
        hamming: npt.NDArray[np.integer],
        verification: npt.NDArray[np.float32] | None = None,
    ) -> Floats:
        """Weigh the similarities of pairs.

        Args:
            normalised: (n,), cosines by `retrieval.normalisation.symmetric`.
            hamming: int (n,), 0 to `identity_bits`, of the identity halves of the codes.
            verification: float32 (n,), logits of the verification head, see `retrieval.verification`; None without one.

        Returns:
            float64 (n,), higher is more alike.

        Raises:
            CalibrationInvalid: fitted with a verification head whose logits are not given.
        """
        score = self.fusion.cosine * np.asarray(normalised, dtype=np.float64)
        score += self.fusion.hamming * (np.asarray(hamming, dtype=np.float64) / self.identity_bits)
        if self.fusion.verification:
            if verification is None:
                raise CalibrationInvalid(
                    "The calibration was fitted with a verification head, and the weights have none; fit it again."
                )
            score += self.fusion.verification * np.asarray(verification, dtype=np.float64)
        return score

    def log_likelihood_ratio(self, score: Floats) -> Floats:
        """Evidence that pairs with scores (n,) show one person: natural logarithm, positive speaks for it."""
        return np.asarray(np.interp(score, self.scores, self.log_ratios), dtype=np.float64)


def probability(log_likelihood_ratio: Floats, prior: float = 0.5) -> Floats:
    """Probability float64 (n,) of one person from ratios float64 (n,), if a share `prior` in (0, 1) of pairs is so."""
    odds = log_likelihood_ratio + np.log(prior) - np.log1p(-prior)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64)


def calibration_beside(weights: Path) -> Path:
    """Where the calibration of a weight file lies: same name, ending `.calibration.json`."""
    return weights.with_suffix(".calibration.json")


def _from_json(raw: dict[str, Any]) -> Calibration:
    tail = raw.pop("tail")
    return Calibration(
        fusion=Fusion(**raw.pop("fusion")),
        scores=tuple(raw.pop("scores")),
        log_ratios=tuple(raw.pop("log_ratios")),
        population=Population(**raw.pop("population")),
        tail=ImpostorTail(
            tuple(tail["quantiles"]), tuple(tail["survival"]), tuple(Draw(**draw) for draw in tail["draws"])
        ),
        **raw,
    )
