"""How rare a similarity is between two persons, beyond what any sample of pairs has shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.errors import CalibrationInvalid

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """A generalised Pareto distribution of what exceeds the threshold, as one draw of the patients gave it.

    Attributes:
        share: of the pairs of two persons that exceed it, in (0, 1). shape: ξ. scale: σ > 0.
    """

    share: float
    shape: float
    scale: float

    def __post_init__(self) -> None:
        if not (0.0 < self.share < 1.0 and self.scale > 0.0 and np.isfinite(self.shape)):
            raise CalibrationInvalid("A tail needs a share between 0 and 1, a positive scale and a finite shape.")

    def survival(self, excess: Floats) -> Floats:
        """Share of pairs of two persons that exceed the threshold by so much (n,), ≥ 0."""
        if abs(self.shape) < 1e-9:
            return np.asarray(self.share * np.exp(-excess / self.scale), dtype=np.float64)
        base = np.maximum(1.0 + self.shape * excess / self.scale, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(self.share * base ** (-1.0 / self.shape), dtype=np.float64)


@dataclass(frozen=True)
class ImpostorTail:
    """The distribution of scores of two persons: as counted below a threshold, extrapolated above it.

    Attributes:
        quantiles: scores, ascending, the last one the threshold. survival: share of pairs at or above each, from 1.0.
        draws: extrapolations, one for each draw of the patients; their mean is used, so that what the data cannot
            exclude stays possible.

    Source: peaks over threshold; Pickands 1975, Annals of Statistics 3:119; Coles 2001, An Introduction to Statistical
    Modeling of Extreme Values, ch. 4.
    """

    quantiles: tuple[float, ...]
    survival: tuple[float, ...]
    draws: tuple[Draw, ...]

    def __post_init__(self) -> None:
        shares = np.array(self.survival)
        if len(self.quantiles) < 2 or len(self.quantiles) != len(shares) or not self.draws:
            raise CalibrationInvalid("A tail needs two quantiles and one draw at least.")
        if np.any(np.diff(self.quantiles) < 0) or np.any(np.diff(shares) > 0) or not 0 < shares[-1] <= shares[0] <= 1:
            raise CalibrationInvalid("Higher similarities of two persons cannot be more frequent; fit again.")

    @property
    def threshold(self) -> float:
        """The score above which the share is extrapolated."""
        return self.quantiles[-1]

    def share_above(self, scores: npt.NDArray[np.floating]) -> Floats:
        """Share of pairs of two persons that are at least so alike: float64 (n,), in (0, 1], for scores (n,)."""
        wanted = np.asarray(scores, dtype=np.float64)
        below = np.interp(wanted, self.quantiles, self.survival)
        excess = np.maximum(wanted - self.threshold, 0.0)
        above = np.mean([draw.survival(excess) for draw in self.draws], axis=0)
        # Where the tail begins, draws and count differ by chance: no step upwards.
        found = np.where(wanted > self.threshold, np.minimum(above, self.survival[-1]), below)
        return np.maximum(found, np.finfo(np.float64).tiny)
