"""All pairs of images that a fair comparison may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming, identity_half
from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import Held, Population, Strangers, symmetric
from retrieval.verification import Verifier

_CHUNK = 1 << 14


@dataclass(frozen=True)
class Pairs:
    """m pairs of images; different people only with the same view, so that the view gives nothing away.

    same: bool (m,). cosine: float32 (m,). hamming: int64 (m,), of the identity halves.
    first_patient, second_patient: int64 (m,), patient numbers.
    verification: float32 (m,), logits of the verification head; None without one.
    normalised: float64 (m,), cosines in deviations above strangers; None where they are not needed.
    """

    same: npt.NDArray[np.bool_]
    cosine: npt.NDArray[np.float32]
    hamming: npt.NDArray[np.int64]
    first_patient: npt.NDArray[np.int64]
    second_patient: npt.NDArray[np.int64]
    verification: npt.NDArray[np.float32] | None = None
    normalised: npt.NDArray[np.float64] | None = None

    @property
    def likeness(self) -> npt.NDArray[np.float64]:
        """The normalised cosines.

        Raises:
            CalibrationInvalid: the pairs were made without them.
        """
        if self.normalised is None:
            raise CalibrationInvalid("These pairs were not normalised, so no calibration can be fitted on them.")
        return self.normalised

    def chosen(self, which: npt.NDArray[np.bool_]) -> Pairs:
        """Only some of the pairs: which bool (m,)."""
        verification = None if self.verification is None else self.verification[which]
        normalised = None if self.normalised is None else self.normalised[which]
        patients = self.first_patient[which], self.second_patient[which]
        return Pairs(self.same[which], self.cosine[which], self.hamming[which], *patients, verification, normalised)


def numbered(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number the names: int64 (n,), equal where the names are, from 0 without gaps."""
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def fair_pairs(
    patients: npt.NDArray[np.int64], strata: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions (m,) and (m,) of all pairs i < j of one patient, or of two patients in the same stratum (view)."""
    first, second = np.triu_indices(len(patients), k=1)
    keep = (patients[first] == patients[second]) | (strata[first] == strata[second])
    return first[keep].astype(np.int64), second[keep].astype(np.int64)


def make_pairs(
    embedding: npt.NDArray[np.float32],
    code: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64],
    views: Sequence[str],
    verifier: Verifier | None = None,
    population: Population | None = None,
) -> Pairs:
    """Compare all fair pairs of n images: embedding float32 (n, d), code uint8 (n, bits/8), patients (n,), views n.

    The images are each other's gallery: cosines are normalised by strangers among them.

    Args:
        population: of two persons' cosines; by default as in these images, if they show three persons or more.
    """
    first, second = fair_pairs(patients, numbered(views))
    half = identity_half(code)
    cosine = (embedding @ embedding.T)[first, second]
    if population is None and len(np.unique(patients)) > 2:
        population = Population.measured([(embedding, patients)])
    return Pairs(
        same=patients[first] == patients[second],
        cosine=cosine,
        hamming=hamming(half[first], half[second]),
        first_patient=patients[first],
        second_patient=patients[second],
        verification=None if verifier is None else _verified(verifier, embedding, first, second),
        normalised=None if population is None else _normalised(cosine, embedding, patients, population, first, second),
    )


def _normalised(
    cosine: npt.NDArray[np.float32],
    embedding: npt.NDArray[np.float32],
    patients: npt.NDArray[np.int64],
    population: Population,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    held = Held.of(embedding, patients, Strangers.of(embedding, patients), population)
    return symmetric(cosine, held.beside(first, patients[second]), held.beside(second, patients[first]))


def _verified(
    verifier: Verifier,
    embedding: npt.NDArray[np.float32],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Logits float32 (m,), some pairs at a time: each takes as much memory as an embedding."""
    starts = range(0, len(first), _CHUNK)
    parts = [verifier.logits(embedding[first[i : i + _CHUNK]], embedding[second[i : i + _CHUNK]]) for i in starts]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
