"""Fit the regional network: a trunk that mostly keeps what it was given, a layer found in closed form.

Ribs, clavicles and hila are seen sharply by the middle of a network that was never shown a chest; what is missing is
which of it belongs to the person. Linear discriminant analysis reads that off in minutes, and from few patients better
than gradient descent does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from retrieval.data.manifest import ImageRow
from retrieval.errors import ConfigInvalid, WeightsNotUsable
from retrieval.networks import AttentionHashNetwork, Backbone, RegionalNetwork
from retrieval.networks.input import network_input
from retrieval.training.config import RegionalConfig
from retrieval.training.discriminant import discriminant
from retrieval.training.kinds import kind_of
from retrieval.weights import stored_trunk

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_BATCH = 32
_SETTLING = 512
_PROGRESS = Console(stderr=True)


def fit_regional(
    config: RegionalConfig,
    trained: AttentionHashNetwork,
    source: Path,
    rows: Sequence[ImageRow],
    images: Images,
    seed: int,
) -> RegionalNetwork:
    """Make a regional network for a trained one.

    Args:
        config: see `RegionalConfig`.
        trained: network of the run; its backbone gives the trunk its `trained_share`.
        source: what the trunk starts from: torchvision weights of the backbone, or a weight file with a regional
            network.
        rows, images: of training patients, uint8 (n, h, w), prepared and framed as it sees them, see
            `laid_images`.
        seed: of the choice among patients with one image.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        ConfigInvalid: `trained_share` with a trained backbone of another kind.
        WeightsNotUsable: `source` cannot be read or does not fit.
        ManifestInvalid: no patient has two images.
    """
    mean, std = trained.mean.flatten().tolist(), trained.std.flatten().tolist()
    network = RegionalNetwork(config, mean, std).to(memory_format=torch.channels_last)
    _start(network, source)
    if config.trained_share:
        _blend(network, trained)
    rng = np.random.default_rng(seed)
    kinds = np.array([kind_of(row) for row in rows])
    _settle(network, images[_even_sample(kinds, _SETTLING, rng)])
    chosen = _chosen(rows, kinds, config.single, rng)
    patients = np.unique([rows[i].patient for i in chosen], return_inverse=True)[1].astype(np.int64)
    features = regional_features(network, images[chosen])
    centre, directions = discriminant(features, patients, kinds[chosen], config.dim)
    with torch.no_grad():
        network.usual.copy_(torch.from_numpy(centre))
        network.identity.weight.zero_()
        network.identity.weight[: directions.shape[1]] = torch.from_numpy(directions.T).float()
    return network.eval()


def regional_features(network: RegionalNetwork, images: Images) -> Floats:
    """What the linear layer is given for images uint8 (n, h, w) as it sees them: float64 (n, channels·regions²)."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in track(range(0, len(images), _BATCH), description="regional network", console=_PROGRESS):
            batch = network_input(torch.from_numpy(images[start : start + _BATCH].copy()), network.options.size)
            parts.append(network.features(batch).numpy())
    return np.concatenate(parts).astype(np.float64)


def _start(network: RegionalNetwork, source: Path) -> None:
    stored = stored_trunk(source)
    if not stored:
        backbone = Backbone(network.options.backbone, split=network.options.stages[-1])
        backbone.load_torchvision_file(source)
        stored = backbone.shallow.state_dict()
    try:
        network.trunk.load_state_dict(stored)
    except RuntimeError as error:
        raise WeightsNotUsable(f"{source} does not fit the regional network: {error}") from error


def _blend(network: RegionalNetwork, trained: AttentionHashNetwork) -> None:
    """Move the trunk towards the trained backbone. Source: Wortsman et al., "Robust fine-tuning", 2022."""
    config = network.options
    if not isinstance(config, RegionalConfig) or trained.backbone.name != config.backbone:
        raise ConfigInvalid("With a trained_share, the regional network needs the backbone of the trained one.")
    stages = [*trained.backbone.shallow, *trained.backbone.deep][: config.stages[-1]]
    theirs = nn.Sequential(*stages).state_dict()
    mixed = {
        key: torch.lerp(own, theirs[key], config.trained_share) if own.is_floating_point() else own
        for key, own in network.trunk.state_dict().items()
    }
    network.trunk.load_state_dict(mixed)


def _settle(network: RegionalNetwork, images: Images) -> None:
    """Measure the normalisation statistics anew, on chests: those of two networks do not blend."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    if not norms:
        return
    network.train()
    with torch.no_grad():
        for start in range(0, len(images), _BATCH):
            batch: Tensor = network_input(torch.from_numpy(images[start : start + _BATCH].copy()), network.options.size)
            network.features(batch)
    network.eval()


def _even_sample(kinds: npt.NDArray[np.str_], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions (≤ count,) of as many images of each kind, in random order."""
    names = np.unique(kinds)
    parts = [rng.permutation(np.flatnonzero(kinds == name))[: count // len(names)] for name in names]
    return rng.permutation(np.concatenate(parts))


def _chosen(
    rows: Sequence[ImageRow], kinds: npt.NDArray[np.str_], single: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Positions of all images of patients with several, and of `single` patients of each kind who have one."""
    _, number, count = np.unique([row.patient for row in rows], return_inverse=True, return_counts=True)
    alone = count[number] == 1
    parts = [np.flatnonzero(~alone)]
    parts += [rng.permutation(np.flatnonzero(alone & (kinds == name)))[:single] for name in np.unique(kinds)]
    return np.sort(np.concatenate(parts))
