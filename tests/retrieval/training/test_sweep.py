from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.errors import ConfigInvalid
from retrieval.losses import LossName
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, TrainingConfig
from retrieval.training.sweep import MarginResult, best_margin, margin_run, parse_margins, write_sweep

CONFIG = TrainingConfig(
    name="x",
    network=NetworkConfig(bits=16),
    groups=(GroupConfig(("toy",), 2),),
    losses=LossConfig(LossName.CONTRASTIVE),
    steps=1000,
    warmup=50,
)
RESULTS = [
    MarginResult(0.1, 9, 0.7, 0.1, 0.2),
    MarginResult(0.5, 9, 0.9, 0.3, 0.1),
    MarginResult(1.0, 9, 0.8, 0.4, 0.3),
]


def test_range_of_margins_holds_both_ends() -> None:
    assert parse_margins("0.1:1.0:0.1") == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert parse_margins("0.5:0.5:1") == (0.5,)


@pytest.mark.parametrize("text", ["0.1", "0:1:0.1", "1:0.5:0.1", "0.1:1:0", "a:b:c", "0.1:1:0.001"])
def test_range_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        parse_margins(text)


def test_short_runs_differ_in_the_margin_alone() -> None:
    one, other = (margin_run(CONFIG, margin, 100) for margin in (0.2, 0.7))
    assert (one.losses.margin, one.steps, one.warmup, one.validate_every) == (0.2, 100, 10, 100)
    assert replace(one, losses=replace(one.losses, margin=0.7)) == other


def test_loss_without_margin_cannot_be_swept() -> None:
    with pytest.raises(ConfigInvalid, match="no margin to sweep"):
        margin_run(replace(CONFIG, losses=LossConfig()), 0.5, 10)


def test_margin_with_the_highest_auc_is_best_and_of_equals_the_smallest() -> None:
    assert best_margin(RESULTS).margin == 0.5
    assert best_margin([*RESULTS, replace(RESULTS[1], margin=0.3)]).margin == 0.3


def test_sweep_is_written_as_table_and_picture(tmp_path: Path) -> None:
    write_sweep(tmp_path, RESULTS)
    with (tmp_path / "sweep.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["margin"], row["auc"]) for row in rows] == [("0.1", "0.7"), ("0.5", "0.9"), ("1.0", "0.8")]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
