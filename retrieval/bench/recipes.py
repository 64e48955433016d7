"""The trained networks of the papers: P3's classic and improved Siamese, P1's margins and negatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.bench.trained import Recipe
from retrieval.losses.identity import LossName

BEST_MARGIN = 0.5
"""P1's choice, by AUC on validation patients."""
MARGINS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
_P3_BACKBONES = ("vgg16", "resnet18")
_P1_BACKBONES = ("resnet50", "efficientnet_b4")
_P3_MARGIN = 2.0
_P3_RATE = 5e-4


def p3_recipes(more: Sequence[str] = ()) -> Iterator[Recipe]:
    """Classic (contrastive loss, margin 2) and improved (head on |x₁ − x₂|) Siamese networks, on pair lists.

    Args:
        more: backbones beside P3's own.

    Source: P3, §2.6, algorithm 2, and §4.2.2 for the learning rate.
    """
    for backbone in dict.fromkeys((*_P3_BACKBONES, *more)):
        yield Recipe(
            f"siamese-{backbone}",
            f"classic Siamese, {backbone}",
            "P3 §2.6",
            backbone,
            LossName.CONTRASTIVE_SQUARED,
            margin=_P3_MARGIN,
            listed=True,
            rate=_P3_RATE,
        )
        yield Recipe(
            f"verification-{backbone}",
            f"improved Siamese, {backbone}",
            "P3 §2.6",
            backbone,
            LossName.VERIFICATION,
            listed=True,
            rate=_P3_RATE,
        )


def p1_recipes(more: Sequence[str] = ()) -> Iterator[Recipe]:
    """Margins from 0.1 to 1.0, and at the best one the rows of P1's table 1: negatives drawn at random, found in one
    or two rounds, and with augmentation.

    Args:
        more: backbones beside P1's own.
    """
    for backbone in dict.fromkeys((*_P1_BACKBONES, *more)):
        for margin in MARGINS:
            yield _p1(backbone, f"m{margin}", f"margin {margin}, random negatives", margin)
        for rounds in (1, 2):
            yield _p1(backbone, f"round{rounds}", f"hard negatives, round {rounds}", BEST_MARGIN, rounds)
        yield _p1(backbone, "round2-augmented", "hard negatives, round 2, augmented", BEST_MARGIN, 2, augmented=True)


def _p1(backbone: str, word: str, said: str, margin: float, rounds: int = 0, augmented: bool = False) -> Recipe:
    return Recipe(
        f"p1-{backbone}-{word}",
        f"contrastive Siamese, {backbone}, {said}",
        "P1",
        backbone,
        LossName.CONTRASTIVE,
        margin,
        rounds,
        augmented,
    )
