"""One run from its files: open it, new or where it was left, and export what it learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from retrieval.errors import ManifestInvalid, WeightsNotUsable
from retrieval.training.build import build_network
from retrieval.training.config import TrainingConfig
from retrieval.training.framing import atlas_of_run
from retrieval.training.loop import Trainer
from retrieval.training.material import load_material
from retrieval.training.record import keep_config, keep_environment
from retrieval.training.validation import load_validator
from retrieval.weights import find_weights


@dataclass(frozen=True)
class Sources:
    """Files that a run is made from.

    Attributes:
        manifest: CSV of images. cache: folder for prepared images.
        backbone_weights: torchvision weights (safetensors) of the backbone; random weights if None.
        start: checkpoint, weight file, or name of a shipped one; what the configuration names if None.
        pairs: pair list to learn from; what the configuration names if None.
    """

    manifest: Path
    cache: Path
    backbone_weights: Path | None = None
    start: Path | None = None
    pairs: Path | None = None

    def into(self, config: TrainingConfig) -> TrainingConfig:
        """The configuration with the start and pairs that are given here."""
        start, pairs = self.start or config.start, self.pairs or config.pairs
        return replace(config, start=str(start), pairs=str(pairs))


def open_run(config: TrainingConfig, sources: Sources, folder: Path) -> Trainer:
    """Make a run in `folder`, or go on with the one that is there.

    The same configuration, sources and machine give the same run: all chance comes from the seed.

    Raises:
        ConfigInvalid, ManifestInvalid, WeightsNotUsable, CheckpointInvalid: a source is missing or does not fit.
    """
    config = sources.into(config)
    start = find_weights(config.start) if config.start else None
    _check_files(sources)
    keep_config(config, folder)
    atlas = atlas_of_run(config, start, sources.manifest, sources.cache, folder)
    material = load_material(sources.manifest, sources.cache, config, atlas)
    validator = load_validator(sources.manifest, sources.cache, config, atlas) if config.validate_every else None
    torch.manual_seed(config.seed)
    network = build_network(config.network, sources.backbone_weights)
    trainer = Trainer(config, network, material, folder, start, validator)
    origins = {
        "manifest": sources.manifest,
        "backbone_weights": sources.backbone_weights,
        "start": start,
        "pairs": Path(config.pairs) if config.pairs else None,
    }
    keep_environment(folder, config.seed, trainer.step, origins)
    return trainer


def export_run(trainer: Trainer, sources: Sources, folder: Path) -> Path:
    """Write weight file, card, gate and calibration of a finished run into `folder`; returns the weight file."""
    # Here, not above: the gate and the calibration need more than training does.
    from retrieval.training.export import export

    config = trainer.config
    earlier = find_weights(config.start) if config.earlier_share and config.start else None
    trunk = sources.backbone_weights or (find_weights(config.start) if config.start else None)
    atlas = atlas_of_run(config, None, sources.manifest, sources.cache, trainer.folder)
    return export(config, trainer.exported, sources.manifest, sources.cache, folder, earlier, trunk, atlas)


def refit_weights(config: TrainingConfig, weights: Path, sources: Sources, folder: Path) -> Path:
    """Fit what is not trained of a weight file anew, see `retrieval.training.export.refit`; returns the new file.

    Raises:
        ConfigInvalid, ManifestInvalid, WeightsNotUsable: a source is missing or does not fit.
    """
    from retrieval.training.export import refit

    _check_files(sources)
    return refit(config, weights, sources.manifest, sources.cache, folder, sources.backbone_weights)


def _check_files(sources: Sources) -> None:
    if not sources.manifest.is_file():
        raise ManifestInvalid(f"There is no manifest {sources.manifest}.")
    if sources.backbone_weights is not None and not sources.backbone_weights.is_file():
        raise WeightsNotUsable(f"There is no weight file {sources.backbone_weights}.")
