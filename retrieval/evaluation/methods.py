"""Ways to say how alike two images are: cosine of vectors, Hamming distance of codes, or all that the product uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming
from retrieval.comparison import Comparer
from retrieval.evaluation.encodings import Codes
from retrieval.normalisation import Levels, Strangers, levels

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
        strangers, known = self._gallery(positions)
        return np.stack([self._against(position, positions, strangers, known) for position in positions.tolist()])

    def scores(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """Of m pairs of positions: float32 (m,), natural-log likelihood ratios."""
        found = np.empty(len(first), dtype=np.float32)
        everybody = np.unique(np.concatenate([first, second]))
        strangers, known = self._gallery(everybody)
        for position in np.unique(first).tolist():
            mine = first == position
            found[mine] = self._against(
                position, second[mine], strangers, known.chosen(np.searchsorted(everybody, second[mine]))
            )
        return found

    def _gallery(self, positions: Numbers) -> tuple[Strangers, Levels]:
        embeddings, patients = self.codes.embedding[positions], self.patients[positions]
        strangers = Strangers.of(embeddings, patients)
        return strangers, levels(embeddings, patients, strangers, self.comparer.calibration.population)

    def _against(self, position: int, others: Numbers, strangers: Strangers, known: Levels) -> npt.NDArray[np.float32]:
        codes = self.codes
        found = self.comparer.compare(
            codes.embedding[position],
            codes.code[position],
            codes.embedding[others],
            codes.code[others],
            strangers,
            int(self.patients[position]),
            self.patients[others],
            known,
        )
        return found.log_ratio.astype(np.float32)


AnyMethod = Method | Calibrated
