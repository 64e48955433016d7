"""The regional half of the embedding: a trunk that sees fine shapes, read out region by region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.atlas import Atlas
from retrieval.networks.backbone import Backbone
from retrieval.networks.regions import RegionPool
from retrieval.regional_options import RegionalOptions


class RegionalNetwork(nn.Module):
    """First stages of a backbone, means over overlapping regions of their map, and one linear layer.

    If it is `aligned`, each image is laid onto a mean chest before, so that the regions show the same ribs whoever
    positioned the patient.

    The trunk stays close to what it learned from photographs of everything: edges and textures, which is what ribs and
    clavicles are made of. Only the linear layer has to know persons, and it is fitted in closed form, see
    `retrieval.training.regional`.

    Args:
        options: see `RegionalOptions`.
        mean, std: what the trunk's weights expect of RGB input in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        options: RegionalOptions,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)
        backbone = Backbone(options.backbone, split=options.stages)
        self.trunk = backbone.shallow
        self.pool = RegionPool(options.regions, options.window)
        self.atlas = Atlas() if options.aligned else None
        self.identity = nn.Linear(backbone.shallow_channels * options.regions**2, options.dim)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images float (n, 1, h, w), grey in [0, 1]: float32 (n, dim), L2-normalised."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            return functional.normalize(self.identity(features), dim=1)

    def features(self, images: Tensor) -> Tensor:
        """What the linear layer is given: float32 (n, channels·regions²)."""
        # Always in float32: the layer reads differences that are smaller than what bfloat16 rounds away.
        with torch.autocast(images.device.type, enabled=False):
            seen = images.float() if self.atlas is None else self.atlas(images.float())
            pooled: Tensor = self.pool(self.trunk((seen - self.mean) / self.std))
        return pooled
