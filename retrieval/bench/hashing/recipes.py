"""The rows of P4's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from retrieval.bench.hashing.deep_hashing import DeepHashing
from retrieval.bench.hashing.labels import sharing
from retrieval.bench.hashing.methods import Coder, FeatureLessons
from retrieval.bench.hashing.shallow import IterativeQuantisation, SemiSupervisedHashing, pair_labels
from retrieval.bench.method import About

BITS = 64
"""Code length of every row that is not about code lengths."""


def _itq(lessons: FeatureLessons) -> Coder:
    return IterativeQuantisation(lessons.features, BITS)


def _ssh(lessons: FeatureLessons) -> Coder:
    similar, dissimilar = sharing(torch.from_numpy(lessons.labels.table))
    return SemiSupervisedHashing(lessons.features, pair_labels(similar.numpy(), dissimilar.numpy()), BITS)


def _dh(lessons: FeatureLessons) -> Coder:
    return DeepHashing(lessons.features, BITS)


FEATURE_HASHES: Mapping[str, tuple[About, Callable[[FeatureLessons], Coder]]] = MappingProxyType(
    {
        about.key: (about, learn)
        for about, learn in (
            (About("ssh", f"SSH, {BITS} bits", "P4 table 1: Wang 2012"), _ssh),
            (About("itq", f"ITQ, {BITS} bits", "P4 table 1: Gong 2013"), _itq),
            (About("dh", f"DH, {BITS} bits", "P4 table 1: Liong 2015"), _dh),
        )
    }
)
"""Codes from features of a network that is not trained, by key."""
