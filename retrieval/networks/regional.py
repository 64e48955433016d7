"""The regional half of the embedding: a trunk that sees fine shapes, read out region by region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from retrieval.networks.backbone import Backbone
from retrieval.networks.regions import RegionPool
from retrieval.regional_options import RegionalOptions


class Trunk(nn.ModuleList):
    """Stages of a backbone, one after the other.

    Args:
        stages: in their order. read: numbers of those whose maps are given back, from 1.
    """

    def __init__(self, stages: Iterable[nn.Module], read: Sequence[int]) -> None:
        super().__init__(stages)
        self.read = frozenset(read)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (n, c, h, w) after the stages that are read, of images float (n, 3, h', w')."""
        found, maps = [], images
        for number, stage in enumerate(self, 1):
            maps = stage(maps)
            if number in self.read:
                found.append(maps)
        return found

    def channels(self) -> int:
        """How many channels the maps have together."""
        before = self.training
        with torch.no_grad():
            found: int = sum(maps.shape[1] for maps in self.eval()(torch.zeros(1, 3, 64, 64)))
        self.train(before)
        return found


class Regional(NamedTuple):
    """What the regional network gives for n images.

    embedding: float32 (n, dim), L2-normalised. shares: float32 (n, regions, regions), how much of the embedding each
    region brings; they sum to 1, and one that speaks against the others is negative.
    """

    embedding: Tensor
    shares: Tensor


class RegionalNetwork(nn.Module):
    """First stages of a backbone, means over overlapping regions of their maps, and one linear layer.

    The regions show the same ribs in all images of a person if these were laid onto a mean chest, see `Recogniser`.

    The trunk stays close to what it learned from photographs of everything: edges and textures, which is what ribs and
    clavicles are made of. Only the linear layer has to know persons, and it is fitted in closed form, see
    `retrieval.training.regional`.

    Args:
        options: see `RegionalOptions`.
        mean, std: what the trunk's weights expect of RGB input in [0, 1].
    """

    mean: Tensor
    std: Tensor
    usual: Tensor

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
        self.trunk = Trunk(Backbone(options.backbone, split=options.stages[-1]).shallow, options.stages)
        self.pool = RegionPool(options.regions, options.window)
        width = self.trunk.channels() * options.regions**2
        # What is usual of all chests is taken off before: it belongs to nobody, and to no region.
        self.register_buffer("usual", torch.zeros(width))
        self.identity = nn.Linear(width, options.dim, bias=False)

    def forward(self, images: Tensor) -> Regional:
        """Embed images float (n, 1, h, w), grey in [0, 1].

        The layer is linear, so a region's share is exact: what it adds to the embedding, along the embedding, over the
        embedding's length. For the cosine with another image of the person it says where it comes from.
        """
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            unusual = features - self.usual
            found = self.identity(unusual)
            length = found.norm(dim=1, keepdim=True).clamp(min=1e-12)
            along = unusual * ((found / length**2) @ self.identity.weight)
            side = self.options.regions
            return Regional(found / length, along.view(len(found), -1, side, side).sum(dim=1))

    def features(self, images: Tensor) -> Tensor:
        """What the linear layer is given: float32 (n, channels·regions²), with the channels of all maps read out."""
        # Always in float32: the layer reads differences that are smaller than what bfloat16 rounds away.
        with torch.autocast(images.device.type, enabled=False):
            maps = self.trunk((images.float() - self.mean) / self.std)
            return torch.cat([self.pool(one) for one in maps], dim=1)
