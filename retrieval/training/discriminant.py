"""Linear discriminant analysis: the directions in which patients differ and their own images do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval.errors import ManifestInvalid

Floats = npt.NDArray[np.float64]

# Adults and children differ among themselves in directions of their own; with fewer there is no room for both.
_COMPONENTS = 650
_SHRINKAGE = 0.3
_SPREAD = 0.02


def discriminant(
    features: Floats, patients: npt.NDArray[np.int64], kinds: npt.NDArray[np.str_], dim: int
) -> tuple[Floats, Floats]:
    """Linear discriminant analysis with a shrunk scatter within patients.

    How kinds of patients differ (adults are larger than children) is taken out first: it tells nobody from others of
    their kind. The features are then reduced to principal components of which each counts by the square root of its
    variance.

    Args:
        features: (n, f). patients: (n,). kinds: (n,). dim: most directions wanted.

    Returns:
        centre (f,) and directions (f, k), k ≤ dim, the best first; `(x − centre) @ directions` is to be L2-normalised.

    Raises:
        ManifestInvalid: no patient has two images.

    Source: Fisher 1936; shrinkage as in Ledoit and Wolf 2004, with a fixed share.
    """
    means = np.stack([features[kinds == kind].mean(axis=0) for kind in np.unique(kinds)])
    centre = means.mean(axis=0)
    apart = _basis(means - centre)
    centred = features - centre
    centred -= (centred @ apart) @ apart.T
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    kept = min(_COMPONENTS, int((values > 1e-6 * values[0]).sum()))
    spread = values[:kept] / np.sqrt(len(centred))
    principal = (vectors[:kept] / np.sqrt(spread)[:, None]).T
    within = _within(centred @ principal, patients, kinds)
    even = np.trace(within) / len(within) * np.eye(len(within))
    lengths, axes = np.linalg.eigh((1 - _SHRINKAGE) * within + _SHRINKAGE * even)
    whitened = principal @ (axes / np.sqrt(lengths))
    of_patients, _, _ = _means(centred @ whitened, patients)
    _, between = np.linalg.eigh(np.cov(of_patients.T))
    directions = whitened @ between[:, ::-1][:, :dim]
    directions -= apart @ (apart.T @ directions)
    return centre, directions * (_SPREAD / directions.std())


def _basis(vectors: Floats) -> Floats:
    """Orthonormal directions (f, r) that span vectors (k, f), r < k: these sum to zero."""
    _, lengths, directions = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(directions[lengths > 1e-9 * max(1.0, float(np.abs(vectors).max()))].T)


def _within(projected: Floats, patients: npt.NDArray[np.int64], kinds: npt.NDArray[np.str_]) -> Floats:
    means, number, count = _means(projected, patients)
    away = projected - means[number]
    scatters = []
    for kind in np.unique(kinds):
        chosen = away[(kinds == kind) & (count[number] > 1)]
        if len(chosen):
            scatters.append(chosen.T @ chosen / len(chosen))
    if not scatters:
        raise ManifestInvalid("No patient of the training split has two images, so nothing can be learned of identity.")
    return np.asarray(np.mean(scatters, axis=0))


def _means(values: Floats, patients: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    _, number, count = np.unique(patients, return_inverse=True, return_counts=True)
    means = np.zeros((len(count), values.shape[1]))
    np.add.at(means, number, values)
    return means / count[:, None], number.astype(np.int64), count.astype(np.float64)
