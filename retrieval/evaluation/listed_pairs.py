"""Pairs that somebody else chose: AUC, true positive rates and EER on exactly these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.data.manifest import ImageRow
from retrieval.data.source import read_table
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.bootstrap import ROUNDS, interval, patient_draws, repeated
from retrieval.evaluation.pairs import numbered
from retrieval.evaluation.protocol import FALSE_POSITIVE_RATES
from retrieval.evaluation.verification import RankedPairs, rates

Numbers = npt.NDArray[np.int64]

_COLUMNS = ("file_a", "file_b", "same")
_SAID = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


class Scorer(Protocol):
    """Says how alike two images are."""

    @property
    def name(self) -> str:
        """For the tables."""
        ...

    def scores(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """Of m pairs of positions: float32 (m,), higher is more alike."""
        ...


@dataclass(frozen=True)
class ListedPairs:
    """m pairs: positions of their images int64 (m,) and (m,), and whether the list says they show one person, (m,)."""

    first: Numbers
    second: Numbers
    same: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairFigures:
    """One method on a list of pairs; every pair counts once, `auc_by_patient` gives every patient one vote.

    Attributes:
        contradicted: pairs of which the manifest's patients say otherwise; the list is believed.
    """

    method: str
    patients: int
    same_pairs: int
    different_pairs: int
    contradicted: int
    auc: float
    auc_low: float
    auc_high: float
    auc_by_patient: float
    tpr_at_fpr_1e2: float
    tpr_at_fpr_1e2_low: float
    tpr_at_fpr_1e2_high: float
    tpr_at_fpr_1e3: float
    tpr_at_fpr_1e3_low: float
    tpr_at_fpr_1e3_high: float
    tpr_at_fpr_1e4: float
    eer: float
    eer_low: float
    eer_high: float


def read_listed(path: Path, rows: Sequence[ImageRow]) -> ListedPairs:
    """Read a CSV with the columns file_a, file_b (as in the manifest) and same (1 or 0), or a published list.

    Published lists have no heading and tabs between the columns, and name files without their folder.

    Args:
        path: the list. rows: images that it may name.

    Raises:
        ManifestInvalid: unreadable, empty, or it names an image that is not among `rows`.

    Source: lists of pairs of Packhäuser et al. 2022.
    """
    places = _places(rows)
    listed = _published(path) or [tuple(entry[name] for name in _COLUMNS) for entry in read_table(path, _COLUMNS)]
    try:
        same = [_SAID[said.lower()] for _, _, said in listed]
    except KeyError as error:
        raise ManifestInvalid(
            f"The list of pairs {path} says {error.args[0]!r} in its column same; it must be 1 or 0."
        ) from error
    missing = sum(a not in places or b not in places for a, b, _ in listed)
    if missing or not listed:
        raise ManifestInvalid(
            f"The list of pairs {path} holds {len(listed)} pairs, {missing} of them with an image that is not among "
            "the frontal images of the chosen split; choose another split or another list."
        )
    first, second = (np.array([places[pair[k]] for pair in listed], dtype=np.int64) for k in (0, 1))
    return ListedPairs(first, second, np.array(same, dtype=np.bool_))


def _published(path: Path) -> list[tuple[str, ...]]:
    """The cells of a list with tabs and no heading; empty if it is no such list."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"The list of pairs {path} cannot be read: {error}.") from error
    lines = [tuple(cell.strip() for cell in line.split("\t")) for line in text.splitlines() if line.strip()]
    return lines if lines and all(len(line) == len(_COLUMNS) for line in lines) else []


def _places(rows: Sequence[ImageRow]) -> dict[str, int]:
    """Position by file, and by file name without folder where no two images share it."""
    names = Counter(PurePath(row.file).name for row in rows)
    short = {name: i for i, row in enumerate(rows) if names[name := PurePath(row.file).name] == 1}
    return short | {row.file: i for i, row in enumerate(rows)}


def pair_figures(method: Scorer, listed: ListedPairs, rows: Sequence[ImageRow], rounds: int = ROUNDS) -> PairFigures:
    """Compute the figures of one method on a list of pairs of `rows`.

    Source: protocol of Packhäuser et al. 2022, Scientific Reports 12, 14851: balanced pairs, each counted once.
    """
    named = np.unique(np.concatenate([listed.first, listed.second]))
    number = np.zeros(len(rows), dtype=np.int64)
    number[named] = numbered([rows[i].patient for i in named])
    patients = number[listed.first], number[listed.second]
    ranked = RankedPairs(method.scores(listed.first, listed.second), listed.same, patients)

    def headline(times: npt.NDArray[np.float64]) -> tuple[float, ...]:
        operating = ranked.operating(times, votes=False)
        measured = rates(operating, FALSE_POSITIVE_RATES, ranked.different)
        return operating.auc(), *measured, operating.equal_error_rate()

    count = int(number.max()) + 1
    auc, tpr_2, tpr_3, tpr_4, eer = headline(np.ones(count))
    spans = [interval(column) for column in repeated(headline, patient_draws(count, rounds)).T]
    return PairFigures(
        method=method.name,
        patients=count,
        same_pairs=ranked.same,
        different_pairs=ranked.different,
        contradicted=int(((patients[0] == patients[1]) != listed.same).sum()),
        auc=auc,
        auc_low=spans[0].low,
        auc_high=spans[0].high,
        auc_by_patient=ranked.operating().auc(),
        tpr_at_fpr_1e2=tpr_2,
        tpr_at_fpr_1e2_low=spans[1].low,
        tpr_at_fpr_1e2_high=spans[1].high,
        tpr_at_fpr_1e3=tpr_3,
        tpr_at_fpr_1e3_low=spans[2].low,
        tpr_at_fpr_1e3_high=spans[2].high,
        tpr_at_fpr_1e4=tpr_4,
        eer=eer,
        eer_low=spans[4].low,
        eer_high=spans[4].high,
    )
