"""How much `lungprint bench` does: by profile, and whether there is a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from retrieval.bench.lessons import Effort, HashEffort

MINIATURE, QUICK, FULL = "miniature", "quick", "full"


@dataclass(frozen=True)
class Profile:
    """What is compared, and how networks are trained.

    Attributes:
        images: to compare at most, of all datasets together; all of the split if None.
        keypoints: of an image, for SIFT and ORB, which take as long as pairs times the square of this.
        learned: training from ImageNet weights. blank: from random ones, which takes as long and, unless it is long,
            leads nowhere. hashing: of hash networks.
        side: in pixels, of the images that frozen networks get. blank_side: those with random weights.
    """

    images: int | None
    keypoints: int
    learned: Effort
    blank: Effort
    hashing: HashEffort
    side: int
    blank_side: int

    @property
    def said(self) -> str:
        """What the profile means, for the page."""
        compared = (
            "all images of the split are compared"
            if self.images is None
            else f"up to {self.images:,} images are compared"
        )
        blank = "" if self.blank == self.learned else f", those without ImageNet weights for {_siamese(self.blank)}"
        frozen = f"{self.side} pixels" + (
            "" if self.blank_side == self.side else f", those with random weights {self.blank_side}"
        )
        return (
            f"{compared}; Siamese networks learn for {_siamese(self.learned)}{blank}; hash networks for "
            f"{self.hashing.steps:,} steps of {self.hashing.batch} at {self.hashing.size}; frozen networks see {frozen}"
        )


def _siamese(effort: Effort) -> str:
    return f"{effort.steps:,} steps of {2 * effort.patients} images at {effort.size} pixels"


def profile(name: str, gpu: bool) -> Profile:
    """The profile of this name; the full one is another without a GPU.

    Args:
        name: a key of `PROFILES`.
    """
    return FULL_ON_GPU if name == FULL and gpu else PROFILES[name]


_TINY, _BRIEF = Effort(3, 32, 2, 24), Effort(6, 64, 4, 240)
_PAPERS = Effort(3000, 224, 32)
FULL_ON_GPU = Profile(None, 500, _PAPERS, _PAPERS, HashEffort(3000, 224, 64, 100_000, "resnet50"), 224, 224)
"""As long and as fine as in the papers."""
PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        MINIATURE: Profile(24, 20, _TINY, _TINY, HashEffort(3, 96, 4, 24, "resnet18"), 32, 32),
        QUICK: Profile(200, 200, _BRIEF, _BRIEF, HashEffort(24, 96, 16, 200, "resnet18"), 160, 160),
        FULL: Profile(None, 200, Effort(150, 96, 16), _BRIEF, HashEffort(100, 96, 32, 100_000, "resnet18"), 224, 96),
    }
)
"""Profiles by name, without a GPU."""
