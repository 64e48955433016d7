"""One image against many, or pair by pair: every similarity that the networks give, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrieval.calibration import Calibration, probability
from retrieval.codes import Code, hamming, identity_half
from retrieval.normalisation import NOBODY, Embedding, Held, Levels, Numbers, Strangers, symmetric
from retrieval.verification import Verifier

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Similarities:
    """n comparisons.

    Attributes:
        cosine: float32 (n,), in [-1, 1], of the embeddings.
        normalised: float64 (n,), the same in deviations above strangers, see `retrieval.normalisation`.
        hamming: int64 (n,), of the identity halves of the codes.
        score: float64 (n,), what they come to. calibration: what that is worth.
    """

    cosine: npt.NDArray[np.float32]
    normalised: Floats
    hamming: npt.NDArray[np.int64]
    score: Floats
    calibration: Calibration

    @cached_property
    def log_ratio(self) -> Floats:
        """Natural-log likelihood ratios float64 (n,), one person against two, see `Calibration`."""
        return self.calibration.log_likelihood_ratio(self.score)

    @cached_property
    def probability(self) -> Floats:
        """The probability float64 (n,) that both images show one person, if one pair in two does."""
        return probability(self.log_ratio)

    @cached_property
    def rarity(self) -> Floats:
        """The share float64 (n,) of pairs of two persons that are at least so alike, in (0, 1]."""
        return self.calibration.tail.share_above(self.score)


@dataclass(frozen=True)
class Comparer:
    """Compares codes of one network: by its calibration, and by its verification head if it has one."""

    calibration: Calibration
    verifier: Verifier | None

    def compare(
        self,
        embedding: Embedding,
        code: Code,
        embeddings: Embedding,
        codes: Code,
        strangers: Strangers | None = None,
        person: int = NOBODY,
        persons: Numbers | None = None,
        known: Levels | None = None,
        mine: Levels | None = None,
    ) -> Similarities:
        """Compare an image with n others, or n images with one other each; the order of the two does not matter.

        Args:
            embedding: float32 (dim,) or (n, dim), of unit length. code: uint8 (bits/8,) or (n, bits/8).
            embeddings: float32 (n, dim), of unit length. codes: uint8 (n, bits/8).
            strangers: of the gallery that both stand in; None without one.
            person: on the image's label. persons: int64 (n,), on the others'; nobody's by default.
            known: how alike the others are to the strangers beside the image, where it was worked out before, see
                `Held.beside`. mine: the same of the image beside them, which is asked for where there are n.

        Raises:
            CodeLengthMismatch: the codes come from different networks.
            CalibrationInvalid: the calibration was fitted with a verification head that is not there.
        """
        labels = np.full(len(embeddings), NOBODY, np.int64) if persons is None else persons
        population, everybody = self.calibration.population, np.arange(len(embeddings))
        cosine = embeddings @ embedding if embedding.ndim == 1 else np.einsum("nd,nd->n", embedding, embeddings)
        cosine = np.clip(cosine, -1.0, 1.0)
        if mine is None:
            probe = Held.of(embedding[None], np.array([person]), strangers, population)
            mine = probe.beside(np.zeros(len(embeddings), np.int64), labels)
        theirs = known or Held.of(embeddings, labels, strangers, population).beside(
            everybody, np.full(len(embeddings), person)
        )
        normalised = symmetric(cosine, mine, theirs)
        distance = hamming(identity_half(codes), identity_half(code))
        verified = None if self.verifier is None else self.verifier.logits(embedding, embeddings)
        score = self.calibration.score(normalised, distance, verified)
        return Similarities(cosine, normalised, distance, score, self.calibration)
