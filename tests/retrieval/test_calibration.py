from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.calibration import Calibration, calibration_beside
from retrieval.errors import CalibrationInvalid

MODEL = Calibration(
    model_id="abc",
    identity_bits=64,
    intercept=-1.0,
    cosine=6.0,
    hamming=-8.0,
    lowest=-4.0,
    highest=4.5,
    fitted_on={"adults": {"positive_pairs": 40}},
)


def test_ratio_is_the_linear_model_within_its_bounds() -> None:
    ratio = MODEL.log_likelihood_ratio(np.array([0.5, 1.0, -1.0], dtype=np.float32), np.array([16, 0, 64]))
    assert ratio.dtype == np.float64
    assert np.allclose(ratio, [-1 + 3 - 2, 4.5, -4.0])


def test_probability_follows_from_ratio_and_prior() -> None:
    cosine, hamming = np.array([0.5], dtype=np.float32), np.array([16])
    assert MODEL.probability(cosine, hamming)[0] == pytest.approx(0.5)
    assert MODEL.probability(cosine, hamming, prior=0.1)[0] == pytest.approx(0.1)


def test_more_alike_is_never_less_likely_one_person() -> None:
    cosine = np.linspace(-1, 1, 50, dtype=np.float32)
    assert (np.diff(MODEL.log_likelihood_ratio(cosine, np.full(50, 20))) >= 0).all()


def test_verification_adds_its_share_and_must_be_given() -> None:
    model = replace(MODEL, verification=0.5)
    cosine, hamming = np.array([0.5], dtype=np.float32), np.array([16])
    ratio = model.log_likelihood_ratio(cosine, hamming, np.array([-3.0], dtype=np.float32))
    assert ratio[0] == pytest.approx(-1 + 3 - 2 - 1.5)
    with pytest.raises(CalibrationInvalid, match="verification head"):
        model.log_likelihood_ratio(cosine, hamming)


def test_file_of_a_version_without_verification_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "net.calibration.json"
    MODEL.save(path)
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["verification"]
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert Calibration.load(path) == MODEL


def test_file_keeps_everything(tmp_path: Path) -> None:
    path = calibration_beside(tmp_path / "net.safetensors")
    MODEL.save(path)
    assert path.name == "net.calibration.json"
    assert Calibration.load(path) == MODEL


@pytest.mark.parametrize(
    "change",
    [
        {"cosine": -1.0},
        {"hamming": 1.0},
        {"verification": -0.1},
        {"lowest": 1.0},
        {"highest": -1.0},
        {"identity_bits": 0},
    ],
)
def test_impossible_values_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(CalibrationInvalid):
        replace(MODEL, **change)


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"cosine": 1.0}), math.pi.hex()])
def test_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationInvalid, match="cannot be used"):
        Calibration.load(path)
