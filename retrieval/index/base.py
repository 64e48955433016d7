"""What every index of the gallery can do, and what a search returns."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid

# How far a cosine may leave [-1, 1] by rounding.
ROUNDING = 1e-5
_NO_DIRECTION = "An embedding without direction (zero or not finite) cannot be compared."


@dataclass(frozen=True, eq=False)
class Candidates:
    """Images that a search found, most similar first.

    Attributes:
        ids: int64 (n,), each once.
        cosines: float32 (n,), in [-1, 1], descending.

    Raises:
        IndexInputInvalid: the values break one of these rules.
    """

    ids: NDArray[np.int64]
    cosines: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.ids.shape != self.cosines.shape or self.ids.ndim != 1:
            raise IndexInputInvalid(f"Candidates need one cosine an id, not {self.cosines.shape} for {self.ids.shape}.")
        if len(set(self.ids.tolist())) != len(self.ids):
            raise IndexInputInvalid("A candidate was found twice.")
        # As numbers of Python: for the few of a search that is quicker than an array operation each.
        cosines = self.cosines.tolist()
        if not all(map(operator.ge, cosines, cosines[1:])):
            raise IndexInputInvalid("Candidates must be sorted, most similar first.")
        if cosines and not -1 - ROUNDING <= cosines[-1] <= cosines[0] <= 1 + ROUNDING:
            raise IndexInputInvalid("A cosine lies between -1 and 1.")

    def __len__(self) -> int:
        return len(self.ids)


class GalleryIndex(Protocol):
    """An index over embeddings; ids are the archive's. Not safe for several threads at once: it has one owner."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def count(self) -> int:
        """How many ids are in it."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids in it, int64 (count,), ascending."""
        ...

    def __contains__(self, item: int, /) -> bool: ...

    def add(self, ids: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Add embeddings float32 (n, dim) under ids int64 (n,), each once; an id that is known is replaced.

        Raises:
            IndexInputInvalid: another shape, a repeated id, or a vector of length zero or not finite.
        """
        ...

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids int64 (n,); unknown ones are ignored."""
        ...

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` ≥ 1 most similar images to an embedding float32 (dim,), fewer if there are fewer; ties by id.

        Raises:
            IndexInputInvalid: another shape, or a vector of length zero or not finite.
        """
        ...

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """L2-normalised embeddings float32 (n, dim) of known ids int64 (n,).

        Raises:
            IndexInputInvalid: an id is unknown.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder.

        Raises:
            SnapshotInvalid: not everything could be written.
        """
        ...

    def load(self, folder: Path) -> None:
        """Replace the content by what `save` wrote. The files must be known to be whole, see `snapshot`.

        Raises:
            SnapshotInvalid: the files are missing or do not fit together.
        """
        ...


def direction(embedding: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """An embedding float32 (dim,) divided by its length; the same as `normalised`, quicker for one.

    Raises:
        IndexInputInvalid: another shape, or a vector of length zero or not finite.
    """
    if embedding.shape != (dim,):
        raise IndexInputInvalid(f"This index holds embeddings of {dim} numbers, not of shape {embedding.shape}.")
    length = math.sqrt(embedding.dot(embedding))
    if not 0 < length < math.inf:
        raise IndexInputInvalid(_NO_DIRECTION)
    return np.divide(embedding, length, dtype=np.float32)


def normalised(embeddings: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Embeddings float32 (n, dim) divided by their length.

    Raises:
        IndexInputInvalid: another shape, or a vector of length zero or not finite.
    """
    return np.ascontiguousarray(embeddings / lengths(embeddings, dim)[:, None], dtype=np.float32)


def lengths(embeddings: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Lengths float32 (n,) of embeddings float32 (n, dim), by which they can be divided.

    Raises:
        IndexInputInvalid: another shape, or a vector of length zero or not finite.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != dim:
        raise IndexInputInvalid(f"This index holds embeddings of {dim} numbers, not of shape {embeddings.shape}.")
    found: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    if not np.all(np.isfinite(found)) or np.any(found == 0):
        raise IndexInputInvalid(_NO_DIRECTION)
    return found


def checked_ids(ids: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Ids of so many embeddings that may be added.

    Raises:
        IndexInputInvalid: another number of them, or a repeated id.
    """
    if ids.shape != (count,):
        raise IndexInputInvalid(f"There must be one id an embedding, not {ids.shape} for {count}.")
    check_once(ids)
    return ids.astype(np.int64)


def check_once(ids: NDArray[np.int64]) -> None:
    """See that each of ids int64 (n,) is there once.

    Raises:
        IndexInputInvalid: one is repeated.
    """
    ordered = np.sort(ids)  # ids come in order as a rule, and then this is far quicker than np.unique
    if np.any(ordered[1:] == ordered[:-1]):
        raise IndexInputInvalid("An id was given twice in one call.")


def checked(
    ids: NDArray[np.int64], embeddings: NDArray[np.float32], dim: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and normalised embeddings that may be added.

    Raises:
        IndexInputInvalid: another shape, a repeated id, or a vector of length zero or not finite.
    """
    return checked_ids(ids, len(embeddings)), normalised(embeddings, dim)


def best(ids: NDArray[np.int64], cosines: NDArray[np.float32], k: int) -> Candidates:
    """The `k` best of some hits, each id once, ties by id."""
    order = np.lexsort((ids, -cosines))[:k]
    return Candidates(ids[order], np.minimum(cosines[order], np.float32(1)))
