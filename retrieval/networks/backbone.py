"""A torchvision classifier, by name, cut before its pooling layer and split into a shallow and a deep part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from retrieval.errors import WeightsNotUsable

_RESNET_STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class Backbone(nn.Module):
    """Feature maps of a torchvision model: `mobilenet_v2`, `resnet18`, `resnet50`, `efficientnet_b4`, ...

    Any model with a `features` sequence or with ResNet's stages can be used. `pretrained` takes torchvision's own
    ImageNet weights (downloaded on first use); for a file use `load_torchvision_file`. `split` is the number of stages
    in the shallow part; half of them if None.

    Raises:
        WeightsNotUsable: torchvision has no model of that name, or not one of these two shapes, or not so many stages.
    """

    def __init__(self, name: str, pretrained: bool = False, split: int | None = None) -> None:
        super().__init__()
        if name not in models.list_models(module=models):
            raise WeightsNotUsable(f"torchvision has no classifier named {name!r}; try resnet50 or mobilenet_v2.")
        model = models.get_model(name)
        if pretrained:
            model.load_state_dict(download_weights(name))
        stages, prefix = _stages(model, name)
        half = len(stages) // 2 if split is None else split
        if not 1 <= half < len(stages):
            raise WeightsNotUsable(f"{name} has {len(stages)} stages; split must leave some on both sides, not {half}.")
        self.name = name
        self._frozen: list[nn.Module] = []
        self.shallow = nn.Sequential(*(stage for _, stage in stages[:half]))
        self.deep = nn.Sequential(*(stage for _, stage in stages[half:]))
        self._source_names = [f"{prefix}{key}" for key, _ in stages]
        with torch.no_grad():
            self.eval()
            self.channels = int(self.deep(self.shallow(torch.zeros(1, 3, 64, 64))).shape[1])
            self.train()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the feature maps.

        Args:
            images: float (n, 3, h, w), normalised as the weights expect.

        Returns:
            Shallow map (n, c, h', w') and deep map (n, channels, h'', w'').
        """
        shallow = self.shallow(images)
        return shallow, self.deep(shallow)

    def freeze(self, stages: int) -> None:
        """Leave the first stages as they are while training, their normalisation statistics included."""
        self._frozen = [*self.shallow, *self.deep][:stages]
        for stage in self._frozen:
            stage.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training or evaluation; frozen stages stay in evaluation."""
        super().train(mode)
        for stage in self._frozen:
            stage.eval()
        return self

    def load_torchvision_file(self, path: Path) -> None:
        """Load a safetensors file that holds a torchvision state dict of this model; classifier layers are ignored.

        Raises:
            WeightsNotUsable: the file cannot be read or lacks a layer.
        """
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsNotUsable(f"The weight file {path} cannot be read: {error}.") from error
        for source, target in zip(self._source_names, [*self.shallow, *self.deep], strict=True):
            own = {key[len(source) + 1 :]: value for key, value in state.items() if key.startswith(source + ".")}
            try:
                target.load_state_dict(own)
            except RuntimeError as error:
                raise WeightsNotUsable(f"{path} does not fit {self.name}, layer {source}: {error}") from error


def download_weights(name: str) -> Mapping[str, Any]:
    """torchvision's ImageNet weights of a model, as a state dict; kept in torch's own cache, so downloaded once.

    Raises:
        WeightsNotUsable: torchvision has none, or they cannot be downloaded.
    """
    try:
        weights = models.get_model_weights(name)["DEFAULT"]
    except (ValueError, KeyError) as error:
        raise WeightsNotUsable(f"torchvision has no ImageNet weights of {name!r}.") from error
    try:
        return cast(Mapping[str, Any], weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsNotUsable(
            f"The ImageNet weights of {name} cannot be downloaded ({error}). Connect this machine to the network, or "
            f"download {weights.url} elsewhere and put it into {folder}, or name a safetensors file with the weights, "
            "or go on without pretrained ones."
        ) from error


def _stages(model: nn.Module, name: str) -> tuple[list[tuple[str, nn.Module]], str]:
    features = getattr(model, "features", None)
    if isinstance(features, nn.Sequential):
        return list(features.named_children()), "features."
    if all(hasattr(model, stage) for stage in _RESNET_STAGES):
        return [(stage, cast(nn.Module, getattr(model, stage))) for stage in _RESNET_STAGES], ""
    raise WeightsNotUsable(f"The layers of {name!r} are not arranged in a way this program knows; try resnet50.")
