"""From similarities to evidence: how much likelier two images are of one person than of two."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.errors import CalibrationInvalid

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A logistic model of cosine, identity-half Hamming distance and verification logit, fitted for even odds.

    Attributes:
        model_id: of the network it was fitted for; its numbers mean nothing for another.
        identity_bits: length of the identity half of the code.
        intercept, cosine, hamming, verification: natural-log likelihood ratio =
            intercept + cosine·c + hamming·(h / identity_bits) + verification·v, with v of the verification head;
            0 when the network has none.
        lowest, highest: the ratio is kept within these; no data supports claims beyond.
        fitted_on: how many patients and pairs stand behind it, by dataset; for the reader.
    """

    model_id: str
    identity_bits: int
    intercept: float
    cosine: float
    hamming: float
    lowest: float
    highest: float
    fitted_on: dict[str, dict[str, int]]
    verification: float = 0.0

    def __post_init__(self) -> None:
        if not self.lowest < 0 < self.highest:
            raise CalibrationInvalid("A calibration must be able to speak for and against: lowest < 0 < highest.")
        if self.cosine < 0 or self.hamming > 0 or self.verification < 0 or self.identity_bits < 1:
            raise CalibrationInvalid("More similar images cannot be less likely to show one person; fit again.")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a calibration file.

        Raises:
            CalibrationInvalid: missing, malformed, or with impossible values.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CalibrationInvalid(f"The calibration {path} cannot be used: {error}.") from error

    def save(self, path: Path) -> None:
        """Write a calibration file (JSON)."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def log_likelihood_ratio(
        self,
        cosine: npt.NDArray[np.float32],
        hamming: npt.NDArray[np.integer],
        verification: npt.NDArray[np.float32] | None = None,
    ) -> Floats:
        """Evidence that pairs of images show one person.

        Args:
            cosine: float32 (n,), in [-1, 1], of the embeddings.
            hamming: int (n,), 0 to `identity_bits`, of the identity halves of the codes.
            verification: float32 (n,), logits of the verification head, see `retrieval.verification`; None without one.

        Returns:
            float64 (n,), natural logarithm; positive speaks for one person.

        Raises:
            CalibrationInvalid: fitted with a verification head whose logits are not given.
        """
        raw = (
            self.intercept
            + self.cosine * np.asarray(cosine, dtype=np.float64)
            + self.hamming * (np.asarray(hamming, dtype=np.float64) / self.identity_bits)
        )
        if self.verification:
            if verification is None:
                raise CalibrationInvalid(
                    "The calibration was fitted with a verification head, and the weights have none; fit it again."
                )
            raw += self.verification * np.asarray(verification, dtype=np.float64)
        return np.clip(raw, self.lowest, self.highest)

    def probability(
        self,
        cosine: npt.NDArray[np.float32],
        hamming: npt.NDArray[np.integer],
        verification: npt.NDArray[np.float32] | None = None,
        prior: float = 0.5,
    ) -> Floats:
        """Probability float64 (n,) that pairs show one person, if a share `prior` in (0, 1) of such pairs does."""
        return probability(self.log_likelihood_ratio(cosine, hamming, verification), prior)


def probability(log_likelihood_ratio: Floats, prior: float = 0.5) -> Floats:
    """Probability float64 (n,) of one person from ratios float64 (n,), if a share `prior` in (0, 1) of pairs is so."""
    odds = log_likelihood_ratio + np.log(prior) - np.log1p(-prior)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64)


def calibration_beside(weights: Path) -> Path:
    """Where the calibration of a weight file lies: same name, ending `.calibration.json`."""
    return weights.with_suffix(".calibration.json")
