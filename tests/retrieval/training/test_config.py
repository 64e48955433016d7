from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.errors import ConfigInvalid
from retrieval.losses import LossName
from retrieval.training.config import Kept
from retrieval.training.config_file import dump_config, load_config
from retrieval.training.shipped import find_config, shipped_configs

GROUPS = '[[groups]]\ndatasets = ["nih"]\npatients = 4\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_are_valid_and_never_learn_from_evaluation_sets(name: str) -> None:
    assert not {"covid", "lateral"} & set(load_config(find_config(name)).datasets)


def test_shipped_configurations_say_what_they_are_for() -> None:
    assert {"p1_contrastive", "p3_verification", "p4_attention_hash"} <= set(shipped_configs())
    assert all(said.endswith(".") for said in shipped_configs().values())


def test_configuration_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "x"\n' + GROUPS)
    assert find_config(str(path)) == path


def test_unknown_configuration_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="p1_contrastive"):
        find_config("resnet")


def test_sections_override_defaults(tmp_path: Path) -> None:
    text = 'name = "x"\nsteps = 90\nrate = 1\nexport = "best"\n[losses]\nidentity = "triplet"\nmargin = 1\n' + GROUPS
    config = load_config(write(tmp_path, text))
    assert (config.steps, config.rate, config.export, config.groups[0].datasets) == (90, 1.0, Kept.BEST, ("nih",))
    assert (config.losses.identity, config.losses.margin) == (LossName.TRIPLET, 1.0)


def test_files_that_it_names_lie_beside_it(tmp_path: Path) -> None:
    text = 'name = "x"\npairs = "pairs.csv"\n[losses]\nidentity = "contrastive"\n' + GROUPS
    assert load_config(write(tmp_path, text)).pairs == str(tmp_path / "pairs.csv")


@pytest.mark.parametrize("name", shipped_configs())
def test_written_configuration_reads_back_as_the_same(name: str, tmp_path: Path) -> None:
    config = load_config(find_config(name))
    changed = replace(config, network=replace(config.network, std=(0.1, 0.2, 0.3)), seed=9)
    assert load_config(write(tmp_path, dump_config(changed))) == changed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nstep = 3\n' + GROUPS, "Unknown training option: step"),
        ('name = "x"\nprecision = "fp8"\n' + GROUPS, "precision cannot be 'fp8'.*'bf16' or 'fp32'"),
        ('name = "x"\nsteps = "many"\n' + GROUPS, "steps cannot be 'many'"),
        ('name = "x"\nsteps = true\n' + GROUPS, "steps cannot be True"),
        ('name = "x"\nwarmup = 2000\n' + GROUPS, "warmup .2000. must be shorter"),
        ('name = "x"\nsave_every = 0\n' + GROUPS, "save_every must be at least 1"),
        ('name = "x"\nrate = -1.0\n' + GROUPS, "rate must be above 0"),
        ('name = "x"\naverage = 1.0\n' + GROUPS, "average must be from 0 to below 1"),
        ('name = "x"\nexport = "best"\nvalidate_every = 0\n' + GROUPS, "export = .best. needs validate_every"),
        ('name = "x"\npairs = "p.csv"\n' + GROUPS, "pairs need the loss contrastive or verification"),
        ('name = "x"\n[network]\nbits = 100\n' + GROUPS, r"\[network\] bits must be a multiple of 16"),
        ('name = "x"\n[losses]\nidentity = "hinge"\n' + GROUPS, r"\[losses\] identity cannot be 'hinge'"),
        ('name = "x"\n[losses]\nmargin = 0.5\n' + GROUPS, r"\[losses\] The loss supcon has no margin"),
        ('name = "x"\n[losses]\nmemory = 7\n' + GROUPS, "memory must hold a batch of 8"),
        ('name = "x"\n[[groups]]\ndatasets = ["nih"]\n', r"\[\[groups\]\] patients is missing"),
        ('name = "x"\n[[groups]]\ndatasets = "nih"\npatients = 2\n', r"\[\[groups\]\] datasets cannot be 'nih'"),
        ('name = "x"\n', "groups are missing"),
        (GROUPS, "name is missing"),
        ("name = ", "cannot be read"),
    ],
)
def test_wrong_values_stop_with_a_sentence_that_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said) as caught:
        load_config(write(tmp_path, text))
    assert "run.toml" in str(caught.value)
