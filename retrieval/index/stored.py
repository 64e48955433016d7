"""Ids and embeddings as two files of a snapshot, for indexes that can be made again from these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SnapshotInvalid


def write_vectors(folder: Path, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
    """Write ids int64 (n,) and embeddings float32 (n, dim).

    Raises:
        SnapshotInvalid: not everything could be written.
    """
    try:
        np.save(folder / "ids.npy", ids)
        np.save(folder / "vectors.npy", vectors)
    except OSError as error:
        raise SnapshotInvalid(f"The index could not be written: {error.strerror or error}.") from error


def read_vectors(folder: Path, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What `write_vectors` wrote; the embeddings are mapped from the file, so they take no memory of their own.

    Raises:
        SnapshotInvalid: the files are missing or do not fit together.
    """
    try:
        ids, vectors = np.load(folder / "ids.npy"), np.load(folder / "vectors.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise SnapshotInvalid("The stored index cannot be read.") from error
    if ids.dtype != np.int64 or ids.ndim != 1 or vectors.shape != (len(ids), dim) or vectors.dtype != np.float32:
        raise SnapshotInvalid("The stored index has embeddings of another length.")
    return ids, vectors
