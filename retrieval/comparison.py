"""One image against many: every similarity that the networks give, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.calibration import Calibration, probability
from retrieval.codes import Code, hamming, identity_half
from retrieval.verification import Verifier

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Similarities:
    """n comparisons.

    Attributes:
        cosine: float32 (n,), in [-1, 1], of the embeddings.
        hamming: int64 (n,), of the identity halves of the codes.
        log_ratio: float64 (n,), natural-log likelihood ratio, one person against two, see `Calibration`.
        probability: float64 (n,), that both images show one person, if one pair in two does.
    """

    cosine: npt.NDArray[np.float32]
    hamming: npt.NDArray[np.int64]
    log_ratio: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparer:
    """Compares codes of one network: by its calibration, and by its verification head if it has one."""

    calibration: Calibration
    verifier: Verifier | None

    def compare(self, embedding: Embedding, code: Code, embeddings: Embedding, codes: Code) -> Similarities:
        """Compare an image with n others; the order of the two does not matter.

        Args:
            embedding: float32 (dim,), of unit length. code: uint8 (bits/8,).
            embeddings: float32 (n, dim), of unit length. codes: uint8 (n, bits/8).

        Raises:
            CodeLengthMismatch: the codes come from different networks.
            CalibrationInvalid: the calibration was fitted with a verification head that is not there.
        """
        cosine = np.clip(embeddings @ embedding, -1.0, 1.0)
        distance = hamming(identity_half(codes), identity_half(code))
        verified = None if self.verifier is None else self.verifier.logits(embedding, embeddings)
        ratio = self.calibration.log_likelihood_ratio(cosine, distance, verified)
        return Similarities(cosine, distance, ratio, probability(ratio))
