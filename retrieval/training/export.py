"""From a finished run to what is shipped: weight file, card, gate and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retrieval.calibration import calibration_beside
from retrieval.data.cache import prepared_images
from retrieval.data.findings import FINDINGS
from retrieval.data.manifest import ImageRow, Split
from retrieval.encoder import Encoder
from retrieval.errors import ConfigInvalid
from retrieval.evaluation.encodings import encode_all, pairs_by_kind
from retrieval.gate import Gate
from retrieval.networks import AttentionHashNetwork, Recogniser, RegionalNetwork
from retrieval.networks.atlas import Atlas
from retrieval.training.atlas import laid_images
from retrieval.training.build import averaged_network, blend
from retrieval.training.calibrate import fit_calibration
from retrieval.training.config import TrainingConfig
from retrieval.training.gate import fit_gate
from retrieval.training.gate_material import gate_material
from retrieval.training.kinds import SHARES, by_kind
from retrieval.training.material import frontal_rows
from retrieval.training.regional import fit_regional
from retrieval.training.verification import fit_verification
from retrieval.weights import find_weights, load_weights, model_id_of, store_weights


def export(
    config: TrainingConfig,
    checkpoint: Path,
    manifest: Path,
    cache: Path,
    folder: Path,
    earlier: Path | None = None,
    trunk: Path | None = None,
    atlas: Atlas | None = None,
) -> Path:
    """Write `<name>.safetensors`, `<name>.toml` and `<name>.calibration.json` into `folder`.

    The regional network, the gate and the verification head are fitted on training patients, the gate's thresholds and
    the calibration on validation patients of the datasets that the run learned from; nothing else is looked at. The
    head is stored only if it tells validation patients apart better.

    Args:
        config: of the run. checkpoint: its last one; the averaged weights are taken.
        manifest: CSV of images. cache: folder for prepared images. folder: where to write.
        earlier: checkpoint of the stage before, blended in with the share `config.earlier_share`.
        trunk: what the regional network starts from, see `fit_regional`; needed if the configuration asks for one.
        atlas: that the network was trained with, if any.

    Returns:
        The weight file.

    Raises:
        ConfigInvalid: a regional network is asked for and there is no trunk.
    """
    train, val = (frontal_rows(manifest, config, split) for split in (Split.TRAIN, Split.VAL))
    whole = averaged_network(config, checkpoint)
    if earlier is not None:
        blend(whole, averaged_network(config, earlier), config.earlier_share)
    regional = _regional(config, whole, atlas, trunk, train, cache)
    network = Recogniser(whole, config.network_size, regional, atlas).eval()
    gate = fit_gate(network, gate_material(train, val, cache, config.seed))
    return _write(config, network, gate, (train, val), cache, folder)


def refit(
    config: TrainingConfig, weights: Path, manifest: Path, cache: Path, folder: Path, trunk: Path | None = None
) -> Path:
    """Fit the regional network, the verification head and the calibration of a weight file anew; write it to `folder`.

    Its trained network, hash code, mean chest and gate stay as they are. For the rest see `export`.

    Args:
        weights: file or name of a shipped one. trunk: what the regional network starts from; `weights` if None.

    Raises:
        ConfigInvalid: the configuration asks for no regional network, or for another network than the file's.
        WeightsNotUsable: there is no such file, or it is broken.
    """
    loaded = load_weights(weights)
    network, card = config.network, loaded.card
    wanted = (network.backbone, network.embedding_dim, network.bits, network.mean, network.std)
    there = (card.backbone, card.embedding_dim, card.bits, card.mean, card.std)
    seen = (config.network_size, config.aligned), (card.input_size, card.aligned)
    if config.regional is None or wanted != there or seen[0] != seen[1]:
        raise ConfigInvalid(
            f"The configuration {config.name} describes no regional network, or not the network of {weights}; take the "
            "one that it was trained with."
        )
    train, val = (frontal_rows(manifest, config, split) for split in (Split.TRAIN, Split.VAL))
    whole, atlas = loaded.network.whole, loaded.network.atlas
    regional = _regional(config, whole, atlas, trunk or find_weights(weights), train, cache)
    return _write(config, Recogniser(whole, card.input_size, regional, atlas), loaded.gate, (train, val), cache, folder)


def _write(
    config: TrainingConfig,
    network: Recogniser,
    gate: Gate,
    rows: tuple[Sequence[ImageRow], Sequence[ImageRow]],
    cache: Path,
    folder: Path,
) -> Path:
    """Write weights and card, then what is fitted on their encodings of training and validation patients."""
    train, val = rows
    path = folder / f"{config.name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    store_weights(path, network, gate)
    path.with_suffix(".toml").write_text(_card(config), encoding="utf-8")
    encoder = Encoder.load(path)
    held_out = by_kind(val, encode_all(encoder, prepared_images(val, cache), "validation patients"))
    fitted = fit_verification(encoder, train, prepared_images(train, cache), held_out, SHARES, config.seed)
    head = None if fitted is None else fitted.kept
    if head is not None:
        store_weights(path, network, gate, head)
    verifier = None if head is None else head.verifier()
    pairs, population = pairs_by_kind(held_out, verifier)
    calibration = fit_calibration(pairs, SHARES, model_id_of(path), encoder.bits // 2, population)
    calibration.save(calibration_beside(path))
    return path


def _regional(
    config: TrainingConfig,
    whole: AttentionHashNetwork,
    atlas: Atlas | None,
    trunk: Path | None,
    train: Sequence[ImageRow],
    cache: Path,
) -> RegionalNetwork | None:
    if config.regional is None:
        return None
    if trunk is None:
        raise ConfigInvalid(
            "The regional network needs a trunk to start from: give --backbone-weights, or start from a weight file "
            "that has one."
        )
    images = laid_images(atlas, prepared_images(train, cache), "training images", config.regional.contrast)
    return fit_regional(config.regional, whole, trunk, train, images, config.seed)


def _card(config: TrainingConfig) -> str:
    network = config.network
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
            f"aligned = {str(config.aligned).lower()}",
            "",
            *_regional_card(config),
            "[recipe]",
            f"datasets = {_list(config.datasets)}",
            f"steps = {config.steps}",
            f"size = {config.size}",
            f"rate = {config.rate}",
            f"images_per_step = {config.images_per_step}",
            f"phantom_persons = {config.phantoms}",
            f"hard_negatives = {str(config.hard_negatives or config.rounds > 0).lower()}",
            f'loss = "{config.losses.identity}"',
            f"seed = {config.seed}",
            f"earlier_share = {config.earlier_share}",
            *([f"trunk_trained_share = {config.regional.trained_share}"] if config.regional else []),
            "",
        )
    )


def _regional_card(config: TrainingConfig) -> tuple[str, ...]:
    options = config.regional
    if options is None:
        return ()
    return (
        "[regional]",
        f'backbone = "{options.backbone}"',
        f"stages = {list(options.stages)}",
        *(f"{key} = {getattr(options, key)}" for key in ("regions", "window", "dim", "size", "contrast", "share")),
        "",
    )


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
