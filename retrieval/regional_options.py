"""What a regional network looks like; known to those who only read cards and need no torch."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.errors import ConfigInvalid


@dataclass(frozen=True)
class RegionalOptions:
    """What a regional network looks like.

    Attributes:
        backbone: torchvision's name. stages: of its first stages, those whose maps are read out, in rising order; the
            last one ends the trunk.
        regions, window: see `RegionPool`. dim: length of its embedding. size: side of the images it sees, pixels.
        contrast: width of the surroundings whose brightness and contrast are taken out of an image before the trunk
            sees it, as a share of the image side, in [0, 0.25); 0: images are seen as they come.
        share: of its cosine in the cosine of two embeddings, in (0, 1); the rest is the trained network's.

    Raises:
        ConfigInvalid: a value is out of range.
    """

    backbone: str = "mobilenet_v2"
    stages: tuple[int, ...] = (14,)
    regions: int = 5
    window: float = 0.4
    dim: int = 256
    size: int = 320
    contrast: float = 0.0
    share: float = 0.5

    def __post_init__(self) -> None:
        for key in ("dim", "size"):
            if getattr(self, key) < 1:
                raise ConfigInvalid(f"{key} must be at least 1, not {getattr(self, key)}.")
        if not self.stages or self.stages[0] < 1 or list(self.stages) != sorted(set(self.stages)):
            raise ConfigInvalid(f"stages must be numbers from 1 in rising order, not {list(self.stages)}.")
        if not 0 <= self.contrast < 0.25:
            raise ConfigInvalid(f"contrast must be from 0 to below 0.25, not {self.contrast}.")
        if not 0 < self.share < 1:
            raise ConfigInvalid(f"share must be above 0 and below 1, not {self.share}.")
