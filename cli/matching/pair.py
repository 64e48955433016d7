"""A pair of images that may show one person."""

from __future__ import annotations

from dataclasses import dataclass

from cli.sources import Source


@dataclass(frozen=True)
class Pair:
    """Two images and how alike they are.

    Attributes:
        righting: what was done to each before, as it is stored turned or inverted; empty for others.
        cosine: of the embeddings, in [-1, 1]. hamming: differing bits of the identity halves of the codes.
        probability: that both show one person, if one pair in two does, in [0, 1].
        false_pairs: how many false pairs are to be expected at most, among all pairs compared, from this one on.
    """

    first: Source
    second: Source
    righting: tuple[str, str]
    cosine: float
    hamming: int
    probability: float
    false_pairs: float
