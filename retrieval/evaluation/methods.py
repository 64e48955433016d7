"""A way to say how alike two images are: by the cosine of vectors or by the Hamming distance of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Method:
    """One line of every table.

    Attributes:
        name: for the tables.
        vectors: of n images, L2-normalised float32 (n, d), or packed bits uint8 (n, bytes).
        gated: only images that the gate lets through are compared.
    """

    name: str
    vectors: npt.NDArray[Any]
    gated: bool = False

    def similarity(self, positions: Numbers) -> npt.NDArray[np.float32]:
        """Of the m images at these positions, each with each: float32 (m, m), cosine or minus Hamming distance."""
        chosen = self.vectors[positions]
        if chosen.dtype == np.uint8:
            return np.stack([-hamming(row, chosen) for row in chosen]).astype(np.float32)
        return np.asarray(chosen @ chosen.T, dtype=np.float32)

    def scores(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """Of m pairs of positions: float32 (m,), cosine or minus Hamming distance."""
        if self.vectors.dtype == np.uint8:
            return (-hamming(self.vectors[first], self.vectors[second])).astype(np.float32)
        return np.asarray((self.vectors[first] * self.vectors[second]).sum(axis=1), dtype=np.float32)
