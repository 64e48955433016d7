"""All pairs of images of one dataset that a fair comparison may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming, identity_half


@dataclass(frozen=True)
class Pairs:
    """m pairs of images; different people only with the same view, so that the view gives nothing away.

    same: bool (m,). cosine: float32 (m,). hamming: int64 (m,), of the identity halves.
    first_patient, second_patient: int64 (m,), patient numbers.
    """

    same: npt.NDArray[np.bool_]
    cosine: npt.NDArray[np.float32]
    hamming: npt.NDArray[np.int64]
    first_patient: npt.NDArray[np.int64]
    second_patient: npt.NDArray[np.int64]


def patient_numbers(patients: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number the patients: int64 (n,), equal where the names are."""
    return np.unique(np.array(patients), return_inverse=True)[1].astype(np.int64)


def fair_pairs(
    patients: npt.NDArray[np.int64], views: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions (m,) and (m,) of all pairs i < j of one patient, or of two patients in the same view."""
    first, second = np.triu_indices(len(patients), k=1)
    view = np.unique(np.array(views), return_inverse=True)[1]
    keep = (patients[first] == patients[second]) | (view[first] == view[second])
    return first[keep].astype(np.int64), second[keep].astype(np.int64)


def make_pairs(
    embedding: npt.NDArray[np.float32],
    code: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64],
    views: Sequence[str],
) -> Pairs:
    """Compare all fair pairs of n images: embedding float32 (n, d), code uint8 (n, bits/8), patients (n,), views n."""
    first, second = fair_pairs(patients, views)
    half = identity_half(code)
    return Pairs(
        same=patients[first] == patients[second],
        cosine=(embedding @ embedding.T)[first, second],
        hamming=hamming(half[first], half[second]),
        first_patient=patients[first],
        second_patient=patients[second],
    )
