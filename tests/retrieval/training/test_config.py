from __future__ import annotations

from pathlib import Path

import pytest

from retrieval import training
from retrieval.errors import ConfigInvalid
from retrieval.training.config import load_config

GROUPS = '[[groups]]\ndatasets = ["nih"]\npatients = 4\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(Path(training.__file__).parent.glob("configs/*.toml")), ids=lambda p: p.stem)
def test_shipped_configurations_are_valid_and_never_learn_from_evaluation_sets(path: Path) -> None:
    config = load_config(path)
    assert not {"covid", "lateral"} & {name for group in config.groups for name in group.datasets}


def test_sections_override_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'name = "x"\nsteps = 90\n[augmentation]\nrotation = 3.0\n' + GROUPS))
    assert (config.steps, config.augmentation.rotation, config.groups[0].datasets) == (90, 3.0, ("nih",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nstep = 3\n' + GROUPS, "Unknown training option: step"),
        ('name = "x"\nprecision = "fp8"\n' + GROUPS, "bf16 or fp32"),
        ('name = "x"\nwarmup = 2000\n' + GROUPS, "shorter"),
        ('name = "x"\n[network]\nbits = 100\n' + GROUPS, "multiple of 16"),
        ('name = "x"\n', "groups"),
        (GROUPS, "name"),
        ("name = ", "cannot be read"),
    ],
)
def test_wrong_values_stop_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        load_config(write(tmp_path, text))
