"""Kinds of methods, for a summary that can be taken in at a glance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from retrieval.bench.lead import OURS
from retrieval.bench.results import Line, Results

_BY = "auc"


@dataclass(frozen=True)
class Family:
    """Methods of one kind.

    Attributes:
        name, source: for the tables. best: its line on the last cohort with the highest AUC. count: how many there are.
    """

    name: str
    source: str
    best: Line
    count: int


def _starts(*beginnings: str) -> Callable[[Line], bool]:
    return lambda line: line.word("key").startswith(beginnings)


def _one_of(*keys: str) -> Callable[[Line], bool]:
    return lambda line: line.word("key") in keys


def _of(group: str) -> Callable[[Line], bool]:
    return lambda line: line.word("group") == group


_KINDS: tuple[tuple[str, str, Callable[[Line], bool]], ...] = (
    ("histograms and grey cosine", "P3", _starts("histogram-", "grey-")),
    ("global hashes", "P3", _one_of("ahash", "phash", "dhash")),
    ("keypoints", "P3", _one_of("sift", "orb")),
    ("classic Siamese network", "P3", _starts("siamese-")),
    ("improved Siamese network", "P3", _starts("verification-")),
    ("contrastive Siamese network", "P1", _of("p1")),
    ("frozen features", "P2", _of("p2")),
    ("max-pooled frozen features", "P5", _of("p5")),
    ("codes of frozen features", "P4", _one_of("ssh", "itq", "dh")),
    ("deep hash codes", "P4", _one_of("dsh", "drh", "ath")),
    ("attention hash codes", "P4", _starts("attention-hash")),
    ("Lungprint", "this product", _of(OURS)),
)


def families(results: Results) -> list[Family]:
    """Each kind of which there is a method on all images; methods with a gate leave some out and are not counted."""
    lines = results.of(results.datasets[-1])
    most = max(line.figure("images") for line in lines)
    whole = [line for line in lines if line.figure("images") == most and not math.isnan(line.figure(_BY))]
    found = []
    for name, source, belongs in _KINDS:
        mine = [line for line in whole if belongs(line)]
        if mine:
            found.append(Family(name, source, max(mine, key=lambda line: line.figure(_BY)), len(mine)))
    return found
