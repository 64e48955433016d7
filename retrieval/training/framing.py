"""The mean chest of a run: kept in its folder, that of the weights it starts from, or found from its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval.data.cache import prepared_images
from retrieval.data.manifest import Split
from retrieval.networks.atlas import Atlas
from retrieval.training.atlas import fit_atlas
from retrieval.training.config import TrainingConfig
from retrieval.training.kinds import kind_of
from retrieval.training.material import frontal_rows
from retrieval.weights import store_atlas, stored_atlas

_NAME = "atlas.safetensors"


def atlas_of_run(config: TrainingConfig, start: Path | None, manifest: Path, cache: Path, folder: Path) -> Atlas | None:
    """The atlas that a run lays its images with; it is kept in `folder` from then on. None if it is not `aligned`.

    Args:
        config: of the run. start: checkpoint or weight file that it starts from. manifest, cache: of its images.
        folder: of the run.

    Raises:
        WeightsNotUsable: an atlas that is there cannot be read.
        ManifestInvalid: one has to be found, and there are no training images.
    """
    if not config.aligned:
        return None
    atlas = _kept(folder)
    if atlas is None:
        atlas = _of_start(start) or _found(config, manifest, cache)
        store_atlas(folder / _NAME, atlas)
    return atlas


def _kept(folder: Path) -> Atlas | None:
    path = folder / _NAME
    return stored_atlas(path) if path.exists() else None


def _of_start(start: Path | None) -> Atlas | None:
    """That of a weight file, or of the run that a checkpoint is of."""
    return None if start is None else stored_atlas(start) or _kept(start.parent)


def _found(config: TrainingConfig, manifest: Path, cache: Path) -> Atlas:
    rows = frontal_rows(manifest, config, Split.TRAIN)
    return fit_atlas(prepared_images(rows, cache), np.array([kind_of(row) for row in rows]))
