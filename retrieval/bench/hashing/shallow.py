"""Codes from features that are not learned: ITQ and SSH, as P4 compares with them."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


class IterativeQuantisation:
    """ITQ: principal components of the features, turned so that their signs lose as little as possible.

    faiss computes both. Where there are fewer training images than bits, there are no more principal components than
    images, and the rest of the turned space is empty.

    Args:
        features: float32 (n, d) of the training images, n ≥ 1. bits: code length.

    Source: Gong et al. 2013, TPAMI, eq. 2; P4, table 1.
    """

    def __init__(self, features: Matrix, bits: int) -> None:
        count, dim = features.shape
        self._bits = bits
        self._components = faiss.PCAMatrix(dim, min(bits, count, dim))
        self._components.train(np.ascontiguousarray(features))
        self._rotation = faiss.ITQMatrix(bits)
        self._rotation.train(self._projected(features))

    def encode(self, features: Matrix) -> Matrix:
        """Real-valued codes float32 (n, bits); the sign is the bit."""
        return np.asarray(self._rotation.apply(self._projected(features)), dtype=np.float32)

    def _projected(self, features: Matrix) -> Matrix:
        projected = self._components.apply(np.ascontiguousarray(features))
        return np.pad(projected, ((0, 0), (0, self._bits - projected.shape[1])))


class SemiSupervisedHashing:
    """SSH with orthogonal projections: the first eigenvectors of the adjusted covariance `X S Xᵀ + η X Xᵀ`.

    Args:
        features: float32 (n, d) of the training images. pairs: S (n, n), see `pair_labels`.
        bits: code length, at most d.
        eta: weight η of the variance; by default such that it weighs as much as the labelled pairs.

    Source: Wang, Kumar and Chang 2012, TPAMI, eq. 9 and 12; P4, table 1.
    """

    def __init__(self, features: Matrix, pairs: Matrix, bits: int, eta: float | None = None) -> None:
        self._mean = features.mean(axis=0)
        centred = (features - self._mean).astype(np.float64)
        fitting, variance = centred.T @ pairs @ centred, centred.T @ centred
        weight = _balance(fitting, variance) if eta is None else eta
        _, vectors = np.linalg.eigh(fitting + weight * variance)
        self.projection = np.asarray(vectors[:, ::-1][:, :bits], dtype=np.float32)

    def encode(self, features: Matrix) -> Matrix:
        """Real-valued codes float32 (n, bits); the sign is the bit."""
        return np.asarray((features - self._mean) @ self.projection, dtype=np.float32)


def ssh_objective(projection: Matrix, features: Matrix, pairs: Matrix, eta: float) -> float:
    """`½ tr(Wᵀ X S Xᵀ W) + η/2 tr(Wᵀ X Xᵀ W)`: how well projections keep labelled pairs, and how much they spread.

    Args:
        projection: W (d, bits). features: centred, (n, d), so X is their transpose. pairs: S (n, n), see `pair_labels`.

    Source: Wang, Kumar and Chang 2012, TPAMI, eq. 9.
    """
    projected = features @ projection
    return float(0.5 * np.trace(projected.T @ pairs @ projected) + 0.5 * eta * np.trace(projected.T @ projected))


def pair_labels(similar: npt.NDArray[np.bool_], dissimilar: npt.NDArray[np.bool_]) -> Matrix:
    """S float32 (n, n): 1 for images that share a finding, −1 for those that have different ones, 0 where not known."""
    return similar.astype(np.float32) - dissimilar.astype(np.float32)


def _balance(fitting: npt.NDArray[np.float64], variance: npt.NDArray[np.float64]) -> float:
    """What makes the strongest direction of both as strong; 1 where one of them is empty."""
    of_pairs, of_variance = (float(np.abs(np.linalg.eigvalsh(matrix)).max()) for matrix in (fitting, variance))
    return of_pairs / of_variance if of_pairs > 0 and of_variance > 0 else 1.0
