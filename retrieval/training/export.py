"""From a finished run to what is shipped: weight file, card, gate and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retrieval.calibration import Calibration, calibration_beside
from retrieval.data.augment import Augmentation
from retrieval.data.cache import prepared_images
from retrieval.data.findings import FINDINGS
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.phantoms import cached_phantoms, phantom_laterals
from retrieval.encoder import Encoder
from retrieval.evaluation.encodings import dataset_pairs, encode_all
from retrieval.training.build import averaged_network, blend
from retrieval.training.calibrate import fit_calibration
from retrieval.training.config import TrainingConfig
from retrieval.training.gate import GateMaterial, fit_gate, spoil
from retrieval.weights import store_weights

_GATE_CHILDREN = 600
_PHANTOMS = 80
_LATERALS = 200
_SHARE_OF_CHILDREN = 0.25
_CHILDREN = "kermany"


def export(
    config: TrainingConfig,
    checkpoint: Path,
    manifest: Path,
    cache: Path,
    folder: Path,
    earlier: Path | None = None,
) -> Path:
    """Write `<name>.safetensors`, `<name>.toml` and `<name>.calibration.json` into `folder`.

    The gate is fitted on training patients, its thresholds and the calibration on validation patients of the
    datasets that the run learned from; nothing else is looked at.

    Args:
        config: of the run. checkpoint: its last one; the averaged weights are taken.
        manifest: CSV of images. cache: folder for prepared images. folder: where to write.
        earlier: checkpoint of the stage before, blended in with the share `config.earlier_share`.

    Returns:
        The weight file.
    """
    datasets = sorted({name for group in config.groups for name in group.datasets})
    rows = read_manifest(manifest, datasets)
    train, val = ([row for row in rows if row.split is split] for split in (Split.TRAIN, Split.VAL))
    network = averaged_network(config, checkpoint)
    if earlier is not None:
        blend(network, averaged_network(config, earlier), config.earlier_share)
    gate = fit_gate(network, config.network_size, _gate_material(train, val, cache, config.seed))
    path = folder / f"{config.name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    store_weights(path, network, gate)
    path.with_suffix(".toml").write_text(_card(config), encoding="utf-8")
    _calibrate(path, val, cache).save(calibration_beside(path))
    return path


def _gate_material(train: Sequence[ImageRow], val: Sequence[ImageRow], cache: Path, seed: int) -> GateMaterial:
    rng = np.random.default_rng(seed)
    images, kinds = _with_phantoms(train, cache, 1, rng)
    fresh, fresh_kinds = _with_phantoms(val, cache, 2, rng)
    moved = Augmentation(noise=0.01, erase=0.1).apply(
        torch.from_numpy(images), images.shape[1], torch.Generator().manual_seed(seed)
    )
    frontal = np.concatenate([images, (255 * moved[:, 0].numpy()).round().astype(np.uint8)])
    spoiled = np.concatenate([spoil(images, rng), spoil(images, rng)])
    laterals = phantom_laterals(_LATERALS, seed)
    return GateMaterial(
        frontal=frontal,
        frontal_kinds=kinds * 2,
        wrong=np.concatenate([spoiled, laterals]),
        wrong_kinds=["spoiled"] * len(spoiled) + ["lateral"] * len(laterals),
        held_out=fresh,
        held_out_kinds=fresh_kinds,
    )


def _with_phantoms(
    rows: Sequence[ImageRow], cache: Path, seed: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    images = prepared_images(rows, cache)
    chosen = np.sort(rng.permutation(len(rows)))
    children = [i for i in chosen if rows[i].dataset == _CHILDREN]
    kept = set(rng.permutation(children)[:_GATE_CHILDREN].tolist())
    used = [int(i) for i in chosen if rows[i].dataset != _CHILDREN or i in kept]
    synthetic = cached_phantoms(_PHANTOMS, 1, seed, cache)[:, 0]
    kinds = ["child" if rows[i].dataset == _CHILDREN else "adult" for i in used] + ["phantom"] * len(synthetic)
    return np.concatenate([images[used], synthetic]), kinds


def _calibrate(path: Path, val: Sequence[ImageRow], cache: Path) -> Calibration:
    encoder = Encoder.load(path)
    encodings = encode_all(encoder, prepared_images(val, cache), "validation patients")
    groups = {
        "adults": [i for i, row in enumerate(val) if row.dataset != _CHILDREN],
        "children": [i for i, row in enumerate(val) if row.dataset == _CHILDREN],
    }
    pairs = {name: dataset_pairs([val[i] for i in g], encodings.chosen(g)) for name, g in groups.items() if g}
    shares = {"adults": 1 - _SHARE_OF_CHILDREN, "children": _SHARE_OF_CHILDREN}
    return fit_calibration(pairs, shares, encoder.model_id, encoder.bits // 2)


def _card(config: TrainingConfig) -> str:
    network = config.network
    sources = sorted({name for group in config.groups for name in group.datasets})
    return "\n".join(
        (
            f'name = "{config.name}"',
            "",
            "[network]",
            f'backbone = "{network.backbone}"',
            f"embedding_dim = {network.embedding_dim}",
            f"bits = {network.bits}",
            f"findings = {_list(FINDINGS)}",
            f"mean = {list(network.mean)}",
            f"std = {list(network.std)}",
            f"input_size = {config.network_size}",
            "",
            "[recipe]",
            f"datasets = {_list(sources)}",
            f"steps = {config.steps}",
            f"size = {config.size}",
            f"rate = {config.rate}",
            f"images_per_step = {2 * sum(group.patients for group in config.groups)}",
            f"phantom_persons = {config.phantoms}",
            f"hard_negatives = {str(config.hard_negatives).lower()}",
            f"seed = {config.seed}",
            f"earlier_share = {config.earlier_share}",
            "",
        )
    )


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
