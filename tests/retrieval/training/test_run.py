from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from retrieval.data.hard_negatives import AlikeOnPaper
from retrieval.data.manifest import Split, read_manifest
from retrieval.data.pair_list import make_pairs, write_pairs
from retrieval.errors import ConfigInvalid, RetrievalError
from retrieval.gate import Gate
from retrieval.networks import Recogniser
from retrieval.networks.atlas import Atlas, laid, structure
from retrieval.training.build import build_network
from retrieval.training.checkpoint import load_weights_of
from retrieval.training.config import GroupConfig, Kept, TrainingConfig
from retrieval.training.config_file import load_config
from retrieval.training.framing import atlas_of_run
from retrieval.training.material import load_material
from retrieval.training.run import Sources, open_run
from retrieval.training.shipped import find_config
from retrieval.weights import find_weights, load_weights, store_atlas, store_weights, stored_atlas
from tests.toys import toy_config


def miniature(name: str) -> TrainingConfig:
    """A shipped configuration on two steps of four small images."""
    config = load_config(find_config(name))
    return replace(
        config,
        groups=(GroupConfig(("toy",), 2, 1.0),),
        size=96,
        network_size=96,
        steps=3,
        warmup=1,
        validate_every=3,
        device="cpu",
        threads=1,
    )


@pytest.mark.parametrize("name", ["p1_contrastive", "p3_verification", "p4_attention_hash"])
def test_configurations_of_the_papers_run_from_random_weights(name: str, sources: Sources, tmp_path: Path) -> None:
    run = open_run(miniature(name), sources, tmp_path)
    costs = list(run.run())
    assert len(costs) == 3
    assert run.finished
    assert 0 <= run.curve.means()[-1].auc <= 1
    assert (tmp_path / "rivals-2.json").exists() == (name == "p1_contrastive")


def test_pair_list_is_learned_from(sources: Sources, tmp_path: Path) -> None:
    rows = [row for row in read_manifest(sources.manifest) if row.split is Split.TRAIN]
    pairs = tmp_path / "pairs.csv"
    write_pairs(pairs, rows, make_pairs(rows, AlikeOnPaper(rows), seed=0, quiet=True))
    losses = 'identity = "contrastive"\nhash_weight = 0.0'
    config = load_config(toy_config(tmp_path, steps=30, save_every=30, validate_every=30, losses=losses))
    run = open_run(config, replace(sources, pairs=pairs), tmp_path / "run")
    totals = [costs.identity for costs in run.run()]
    assert sum(totals[-10:]) < 0.8 * sum(totals[:10])


def test_run_folder_says_how_to_repeat_the_run(sources: Sources, tmp_path: Path) -> None:
    config = load_config(toy_config(tmp_path))
    run = open_run(config, sources, tmp_path / "run")
    list(run.run(steps=2))
    open_run(config, sources, tmp_path / "run")
    assert load_config(tmp_path / "run" / "config.toml") == config
    sessions = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [session["from_step"] for session in sessions] == [0, 2]
    assert sessions[0]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert set(sessions[0]["sha256"]) == {"manifest"}


def test_run_of_another_configuration_is_not_gone_on_with(sources: Sources, tmp_path: Path) -> None:
    config = load_config(toy_config(tmp_path))
    list(open_run(config, sources, tmp_path).run(steps=2))
    list(open_run(replace(config, save_every=1), sources, tmp_path).run(steps=1))
    with pytest.raises(ConfigInvalid, match=r"another configuration \(losses.temperature, rate\)"):
        other = replace(config, rate=2e-3, losses=replace(config.losses, temperature=0.2))
        open_run(other, sources, tmp_path)


def test_weight_file_can_be_started_from(sources: Sources, tmp_path: Path) -> None:
    """Half precision on disk; the identity head comes back as it was, to three digits."""
    config = load_config(toy_config(tmp_path))
    first = open_run(config, sources, tmp_path / "first")
    gate = Gate(*(torch.ones(3) for _ in Gate.__dataclass_fields__))
    store_weights(tmp_path / "first.safetensors", Recogniser(first.network, config.network_size), gate)
    again = replace(sources, start=tmp_path / "first.safetensors")
    second = open_run(replace(config, seed=5), again, tmp_path / "second")
    assert torch.allclose(second.network.identity.weight, first.network.identity.weight, atol=1e-3)
    assert torch.equal(second.averaged.identity.weight, second.network.identity.weight)


def test_all_stages_of_a_network_lay_images_onto_the_same_mean_chest(sources: Sources, tmp_path: Path) -> None:
    """It is found once: a run that goes on, or from another run's checkpoint or a weight file, takes the one there."""
    config = replace(load_config(toy_config(tmp_path)), aligned=True)
    first = open_run(config, sources, tmp_path / "first")
    list(first.run(steps=1))
    first.save()
    found = stored_atlas(tmp_path / "first" / "atlas.safetensors")
    assert found is not None and found.mean_chest.std() > 0.1
    store_atlas(tmp_path / "first" / "atlas.safetensors", marked := Atlas())
    open_run(config, sources, tmp_path / "first")
    weights = tmp_path / "weights.safetensors"
    gate = Gate(*(torch.ones(3) for _ in Gate.__dataclass_fields__))
    store_weights(weights, Recogniser(first.network, config.network_size, atlas=marked), gate)
    for name, start in (("second", tmp_path / "first" / "checkpoint.safetensors"), ("third", weights)):
        open_run(config, replace(sources, start=start), tmp_path / name)
        kept = stored_atlas(tmp_path / name / "atlas.safetensors")
        assert kept is not None and torch.equal(kept.mean_chest, marked.mean_chest)


def test_a_run_learns_from_images_as_they_lie_on_the_mean_chest(sources: Sources, tmp_path: Path) -> None:
    config = load_config(toy_config(tmp_path))
    plain = load_material(sources.manifest, sources.cache, config)
    atlas = atlas_of_run(replace(config, aligned=True), None, sources.manifest, sources.cache, tmp_path)
    assert atlas is not None
    aligned = load_material(sources.manifest, sources.cache, config, atlas)
    with torch.inference_mode():
        images = torch.from_numpy(plain.images[:3].copy())[:, None].float() / 255
        expected = 255 * laid(images, atlas.poses(structure(images)))[:, 0]
    assert np.abs(aligned.images[:3] - expected.numpy()).max() <= 0.51
    assert np.abs(aligned.images[:3].astype(float) - plain.images[:3]).mean() > 1


def test_last_or_best_weights_are_exported_as_configured(sources: Sources, tmp_path: Path) -> None:
    config = load_config(toy_config(tmp_path))
    last, best = (open_run(replace(config, export=kept), sources, tmp_path / kept) for kept in (Kept.LAST, Kept.BEST))
    assert (last.exported.name, best.exported.name) == ("checkpoint.safetensors", "best.safetensors")


def test_training_on_a_site_s_archive_goes_on_from_the_shipped_weights(tmp_path: Path) -> None:
    config = load_config(find_config("site"))
    network = build_network(config.network)
    average = AveragedModel(build_network(config.network), use_buffers=True)
    load_weights_of(find_weights(config.start), network, average)
    shipped = load_weights(config.start)
    assert torch.equal(network.identity.weight, shipped.network.whole.identity.weight)
    assert (config.network_size, config.aligned) == (shipped.card.input_size, shipped.card.aligned)
    assert (config.network.mean, config.network.std) == (shipped.card.mean, shipped.card.std)


@pytest.mark.parametrize("missing", ["manifest", "backbone_weights", "start"])
def test_missing_files_are_named_before_anything_is_done(missing: str, sources: Sources, tmp_path: Path) -> None:
    config = load_config(toy_config(tmp_path))
    gone = {missing: tmp_path / "nowhere"}
    with pytest.raises(RetrievalError, match=r"There (is no|are no) .*nowhere"):
        open_run(config, replace(sources, **gone), tmp_path / "run")
    assert not (tmp_path / "run").exists()
