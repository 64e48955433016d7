"""The rows of P4's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch

from retrieval.bench.hashing.deep_hashing import DeepHashing
from retrieval.bench.hashing.labels import sharing
from retrieval.bench.hashing.losses import (
    AttentionHashLoss,
    DeepResidualHashingLoss,
    DeepSupervisedHashingLoss,
    TripletHashLoss,
)
from retrieval.bench.hashing.methods import Coder, FeatureLessons
from retrieval.bench.hashing.networks import HashRecipe
from retrieval.bench.hashing.shallow import IterativeQuantisation, SemiSupervisedHashing, pair_labels
from retrieval.bench.method import About
from retrieval.networks import AttentionHashNetwork, Branches, Descriptor

BITS = 64
"""Code length of every row that is not about code lengths."""
LENGTHS = (16, 32, 48, 64, 96, 128)


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


def trained_recipes() -> Iterator[HashRecipe]:
    """Hash networks: those that P4 compares with, P4's in every code length, and what it leaves out of it in turn.

    All have the same backbone and are trained alike. DSH and DRH hash the global branch, ATH the local one, which is
    its network: max-pooling, attention, residual block, average pooling.
    """
    yield HashRecipe("dsh", f"DSH, {BITS} bits", "P4 table 1: Liu 2016", BITS, _dsh, Branches.GLOBAL)
    yield HashRecipe("drh", f"DRH, {BITS} bits", "P4 table 1: Conjeti 2017", BITS, _drh, Branches.GLOBAL)
    yield HashRecipe("ath", f"ATH, {BITS} bits", "P4 table 1: Fang 2021", BITS, _ath, Branches.LOCAL)
    for bits in LENGTHS:
        yield _p4(f"attention-hash-{bits}", f"attention hash, {bits} bits", "P4 table 1", bits=bits)
    yield _p4("no-descriptors", "without max and mean", "P4 table 4", descriptors=(Descriptor.POOLED,))
    yield _p4("no-max-pool", "without max-pool", "P4 table 4", descriptors=(Descriptor.MAXIMUM, Descriptor.MEAN))
    yield _p4("local", "local only", "P4 table 5", Branches.LOCAL)
    yield _p4("global", "global only", "P4 table 5", Branches.GLOBAL)


def _p4(
    word: str,
    said: str,
    source: str,
    branches: Branches = Branches.BOTH,
    descriptors: tuple[Descriptor, ...] = tuple(Descriptor),
    bits: int = BITS,
) -> HashRecipe:
    own = word.startswith("attention-hash")
    key, name = (word, said) if own else (f"attention-hash-{word}", f"attention hash, {BITS} bits, {said}")
    pictured = branches is Branches.BOTH and bits == BITS
    return HashRecipe(key, name, source, bits, _attention_hash, branches, descriptors, pictured)


def _attention_hash(network: AttentionHashNetwork) -> AttentionHashLoss:
    return AttentionHashLoss()


def _dsh(network: AttentionHashNetwork) -> DeepSupervisedHashingLoss:
    return DeepSupervisedHashingLoss()


def _drh(network: AttentionHashNetwork) -> DeepResidualHashingLoss:
    return DeepResidualHashingLoss(network.hash.weight)


def _ath(network: AttentionHashNetwork) -> TripletHashLoss:
    return TripletHashLoss()
