"""The second look at candidates: their hash codes decide the order, the embedding settles ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.codes import Code, hamming, identity_half
from retrieval.errors import IndexInputInvalid
from retrieval.index.base import Candidates


@dataclass(frozen=True, eq=False)
class Ranked:
    """Candidates after the re-rank, nearest code first.

    Attributes:
        ids: int64 (n,), each once. cosines: float32 (n,). hammings: int64 (n,), ascending; ties by cosine, descending.

    Raises:
        IndexInputInvalid: the values break one of these rules.
    """

    ids: NDArray[np.int64]
    cosines: NDArray[np.float32]
    hammings: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.ids.shape == self.cosines.shape == self.hammings.shape:
            raise IndexInputInvalid("Ranked candidates need one cosine and one Hamming distance an id.")
        if len(np.unique(self.ids)) != len(self.ids):
            raise IndexInputInvalid("A candidate was ranked twice.")
        steps = np.diff(self.hammings)
        if np.any(steps < 0) or np.any((steps == 0) & (np.diff(self.cosines) > 0)):
            raise IndexInputInvalid("Ranked candidates must be sorted by Hamming distance, then by cosine.")

    def __len__(self) -> int:
        return len(self.ids)


def rerank(probe: Code, candidates: Candidates, codes: Code, keep: int) -> Ranked:
    """Reorder candidates by the Hamming distance of the identity halves of their codes; ties keep the embedding order.

    Args:
        probe: packed bits, uint8 (bits/8,).
        candidates: n candidates.
        codes: theirs, uint8 (n, bits/8).
        keep: how many to return at most, ≥ 1.

    Raises:
        CodeLengthMismatch: the probe and the candidates were coded with different networks.
        IndexInputInvalid: there is not one code a candidate.

    Source: P4, eq. 13.
    """
    if len(codes) != len(candidates):
        raise IndexInputInvalid(f"{len(candidates)} candidates cannot be ranked by {len(codes)} codes.")
    distances = hamming(identity_half(codes), identity_half(probe))
    order = np.argsort(distances, kind="stable")[:keep]
    return Ranked(candidates.ids[order], candidates.cosines[order], distances[order])
