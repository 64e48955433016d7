from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.calibration import Calibration, Fusion, calibration_beside, probability
from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import Population
from retrieval.tail import Draw, ImpostorTail
from tests.calibrations import TAIL, straight

MODEL = straight("abc", 64, -1.0, 6.0, -8.0, -4.0, 4.5)


def test_score_and_ratio_by_hand() -> None:
    score = MODEL.score(np.array([0.5, 1.0, -1.0]), np.array([16, 0, 64]))
    assert score == pytest.approx([3 - 2, 6.0, -14.0])
    assert MODEL.log_likelihood_ratio(score) == pytest.approx([0.0, 4.5, -4.0])


def test_probability_follows_from_ratio_and_prior() -> None:
    assert probability(np.array([0.0]))[0] == pytest.approx(0.5)
    assert probability(np.array([0.0]), prior=0.1)[0] == pytest.approx(0.1)


def test_more_alike_is_never_less_likely_one_person() -> None:
    score = MODEL.score(np.linspace(-1, 1, 50), np.full(50, 20))
    assert (np.diff(MODEL.log_likelihood_ratio(score)) >= 0).all()


def test_verification_adds_its_share_and_must_be_given() -> None:
    model = replace(MODEL, fusion=Fusion(6.0, -8.0, 0.5))
    score = model.score(np.array([0.5]), np.array([16]), np.array([-3.0], dtype=np.float32))
    assert score[0] == pytest.approx(3 - 2 - 1.5)
    with pytest.raises(CalibrationInvalid, match="verification head"):
        model.score(np.array([0.5]), np.array([16]))


def test_file_keeps_everything(tmp_path: Path) -> None:
    path = calibration_beside(tmp_path / "net.safetensors")
    full = replace(MODEL, method="isotonic", fitted_on={"adults": {"positive_pairs": 40}}, held_out={"brier": 0.1})
    full.save(path)
    assert path.name == "net.calibration.json"
    assert Calibration.load(path) == full
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "change",
    [
        {"scores": (0.0,)},
        {"scores": (1.0, 1.0)},
        {"log_ratios": (1.0, -1.0)},
        {"log_ratios": (1.0, 2.0)},
        {"log_ratios": (-2.0, -1.0)},
        {"identity_bits": 0},
    ],
)
def test_impossible_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CalibrationInvalid):
        replace(MODEL, **change)


@pytest.mark.parametrize("weights", [(-1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, -0.1)])
def test_similarities_that_speak_against_identity_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(CalibrationInvalid):
        Fusion(*weights)


@pytest.mark.parametrize("values", [(2.0, 0.1), (0.0, 0.0), (0.0, -1.0)])
def test_impossible_populations_are_refused(values: tuple[float, float]) -> None:
    with pytest.raises(CalibrationInvalid):
        Population(*values)


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"cosine": 1.0}), math.pi.hex()])
def test_malformed_file_is_refused_with_the_command_that_mends_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationInvalid, match="lungprint calibrate"):
        Calibration.load(path)


def test_rarity_is_counted_below_the_threshold_and_extrapolated_above() -> None:
    found = TAIL.share_above(np.array([-5.0, -1.0, -0.5, 0.0, 1.0, 2.0, 11.0]))
    assert found == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.1, 0.1 * math.exp(-1), 0.1 * math.exp(-10)])


def test_what_one_draw_of_patients_cannot_exclude_stays_possible() -> None:
    """A bounded draw alone would call a score beyond its end impossible; with an unbounded one it is only rare."""
    bounded, unbounded = Draw(0.1, -0.5, 1.0), Draw(0.1, 0.0, 1.0)
    assert bounded.survival(np.array([1.0, 3.0])) == pytest.approx([0.1 * 0.5**2, 0.0])
    both = ImpostorTail(TAIL.quantiles, TAIL.survival, (bounded, unbounded))
    assert both.share_above(np.array([4.0]))[0] == pytest.approx(0.05 * math.exp(-3))
    assert ImpostorTail(TAIL.quantiles, TAIL.survival, (bounded,)).share_above(np.array([9.0]))[0] > 0


@pytest.mark.parametrize("values", [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.1, 0.0, 0.0), (0.1, math.nan, 1.0)])
def test_impossible_tails_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(CalibrationInvalid):
        Draw(*values)


@pytest.mark.parametrize(
    ("quantiles", "survival"),
    [((0.0,), (0.5,)), ((1.0, 0.0), (1.0, 0.5)), ((0.0, 1.0), (0.5, 1.0)), ((0.0, 1.0), (1.0, 0.0))],
)
def test_impossible_counts_are_refused(quantiles: tuple[float, ...], survival: tuple[float, ...]) -> None:
    with pytest.raises(CalibrationInvalid):
        ImpostorTail(quantiles, survival, (Draw(0.1, 0.0, 1.0),))
