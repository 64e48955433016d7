from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from retrieval.errors import WeightsNotUsable
from retrieval.networks.backbone import Backbone


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 512), ("resnet50", 2048), ("mobilenet_v2", 1280)])
def test_backbones_of_both_shapes_give_maps(name: str, channels: int) -> None:
    backbone = Backbone(name).eval()
    _, deep = backbone(torch.zeros(1, 3, 96, 96))
    assert deep.shape == (1, channels, 3, 3)
    assert backbone.channels == channels


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_torchvision_weights_give_torchvisions_features(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = models.get_model(name, weights=None).eval()
    path = tmp_path / "weights.safetensors"
    save_file(reference.state_dict(), path)
    backbone = Backbone(name).eval()
    backbone.load_torchvision_file(path)
    image = torch.randn(1, 3, 64, 64)
    pooled = backbone(image)[1].mean(dim=(2, 3))
    head = reference.fc if name == "resnet18" else reference.classifier
    assert torch.allclose(head(pooled), reference(image), atol=1e-4)


def test_unknown_backbone_is_refused_with_advice() -> None:
    with pytest.raises(WeightsNotUsable, match="resnet50"):
        Backbone("resnet51")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"features.0.0.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsNotUsable, match="does not fit"):
        Backbone("mobilenet_v2").load_torchvision_file(path)
