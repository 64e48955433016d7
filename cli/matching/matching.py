"""Encodes two collections and finds the pairs of images of one person in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import Progress, TaskID

from cli.encoding import load_encoder
from cli.matching.collection import Collection, Refused, encoded
from cli.matching.pair import Pair
from cli.matching.threshold import Threshold, from_calibration
from cli.output import progress_bar
from config.settings import Settings
from retrieval.collection_matching import ROWS, Matches, alike, compare_pairs, unlabelled
from retrieval.normalisation import levels
from workers.index_owner import network_at_work


@dataclass(frozen=True, eq=False)
class Matched:
    """Two collections, the same one twice if they are the same, and their pairs, the most probable first.

    Attributes:
        pairs: how many were compared.
    """

    first: Collection
    second: Collection
    pairs: int
    threshold: Threshold
    matches: Matches

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Images that take no part."""
        return self.first.refused if self.first is self.second else self.first.refused + self.second.refused

    def listed(self) -> list[Pair]:
        """The pairs one by one."""
        found = self.matches
        return [
            Pair(
                self.first.sources[found.first[i]],
                self.second.sources[found.second[i]],
                (self.first.righting[found.first[i]], self.second.righting[found.second[i]]),
                float(found.cosine[i]),
                int(found.hamming[i]),
                float(found.probability[i]),
                float(self.pairs * np.exp(-max(found.log_ratio[i], 0.0))),
            )
            for i in range(len(found))
        ]


def match(a: Path, b: Path, cosine: float | None, false_pairs: float, top: int | None, settings: Settings) -> Matched:
    """Find the pairs of two collections.

    Args:
        cosine: the least one, in [-1, 1]; None for a threshold from the calibration.
        false_pairs: to be expected among all pairs, > 0. top: partners for each image of A; all if None.

    Raises:
        InputNotUsable: a collection holds nothing that can be compared.
        TooManyPairs: the threshold separates nobody.
        WeightsNotUsable, CalibrationInvalid: the option encoder.weights names no usable network.
    """
    comparer = network_at_work(settings).comparer
    encoder = load_encoder(settings)
    same = a.resolve() == b.resolve()
    with progress_bar() as bar:
        first = encoded(a, encoder, settings, partial(_update, bar, bar.add_task("encoding A", total=None)))
        second = first
        if not same:
            second = encoded(b, encoder, settings, partial(_update, bar, bar.add_task("encoding B", total=None)))
        pairs = len(first) * (len(first) - 1) // 2 if same else len(first) * len(second)
        offset = 0 if same else len(first)
        everybody = first.embedding if same else np.concatenate([first.embedding, second.embedding])
        strangers = unlabelled(everybody, comparer)
        if cosine is None:
            known = levels(everybody, np.arange(len(everybody)), strangers, comparer.calibration.population)
            threshold = from_calibration(comparer, known, pairs, false_pairs)
        else:
            threshold = Threshold(cosine)
        task = bar.add_task("matching", total=-(-len(first) // ROWS))
        parts = []
        for rows, columns in alike(first.embedding, second.embedding, threshold.cosine, settings.encoder.device):
            kept = rows < columns if same else _different(first, second, rows, columns)
            found = compare_pairs(comparer, first, second, rows[kept], columns[kept], strangers, offset)
            found = found.chosen(np.flatnonzero(found.log_ratio >= threshold.log_ratio))
            parts.append(found if top is None else found.top(top))
            bar.advance(task)
    return Matched(first, second, pairs, threshold, Matches.joined(parts).best_first())


def _update(bar: Progress, task: TaskID, read: int, of: int) -> None:
    bar.update(task, completed=read, total=of)


def _different(
    first: Collection, second: Collection, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether the two images of each pair are different files, for a folder may lie in both collections."""
    paths = [[source.path.resolve() for source in one.sources] for one in (first, second)]
    return np.array(
        [paths[0][i] != paths[1][j] for i, j in zip(rows.tolist(), columns.tolist(), strict=True)], np.bool_
    )
