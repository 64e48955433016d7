"""Ways to say how alike two images are: cosine of vectors, Hamming distance of codes, or all that the product uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming
from retrieval.comparison import Comparer
from retrieval.evaluation.encodings import Codes
from retrieval.normalisation import Held, Strangers

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


@dataclass(frozen=True)
class Calibrated:
    """What a verdict rests on: cosine, code and verification head, weighed by the calibration into one log ratio.

    The images that are compared are each other's gallery: strangers for the normalisation are drawn from them.

    Attributes:
        name: for the tables.
        codes: of n images. patients: numbers int64 (n,). comparer: of the same network.
        gated: only images that the gate lets through are compared.
    """

    name: str
    codes: Codes
    patients: Numbers
    comparer: Comparer
    gated: bool = False

    def similarity(self, positions: Numbers) -> npt.NDArray[np.float32]:
        """Of the m images at these positions, each with each: float32 (m, m), natural-log likelihood ratios."""
        held, everybody = self._held(positions), np.arange(len(positions))
        return np.stack([self._against(positions, held, row, everybody) for row in everybody.tolist()])

    def scores(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """Of m pairs of positions: float32 (m,), natural-log likelihood ratios."""
        found = np.empty(len(first), dtype=np.float32)
        everybody = np.unique(np.concatenate([first, second]))
        held = self._held(everybody)
        rows, columns = np.searchsorted(everybody, first), np.searchsorted(everybody, second)
        for row in np.unique(rows).tolist():
            mine = rows == row
            found[mine] = self._against(everybody, held, row, columns[mine])
        return found

    def _held(self, positions: Numbers) -> Held:
        embeddings, patients = self.codes.embedding[positions], self.patients[positions]
        strangers = Strangers.of(embeddings, patients)
        return Held.of(embeddings, patients, strangers, self.comparer.calibration.population)

    def _against(self, positions: Numbers, held: Held, row: int, others: Numbers) -> npt.NDArray[np.float32]:
        """An image, the `row`th of those at some positions, against others of them."""
        one, each = int(positions[row]), positions[others]
        found = self.comparer.compare(
            self.codes.embedding[one],
            self.codes.code[one],
            self.codes.embedding[each],
            self.codes.code[each],
            mine=held.beside(np.full(len(others), row), self.patients[each]),
            known=held.beside(others, np.full(len(others), self.patients[one])),
        )
        return found.log_ratio.astype(np.float32)


AnyMethod = Method | Calibrated
