from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import Population
from retrieval.training.calibrate import fit_calibration
from retrieval.training.calibration_report import HeldOut, draw, held_out, with_figures
from tests.retrieval.training.test_calibrate import pairs

POPULATION, SHARES = Population(0.0, 0.1), {"adults": 1.0}


def test_a_calibration_of_its_own_kind_of_data_is_honest_where_it_was_not_fitted(tmp_path: Path) -> None:
    judged = held_out({"adults": pairs(1000, 12_000)}, SHARES, 64, POPULATION)
    assert set(judged) == {"adults", "all"}
    figures = judged["adults"].figures()
    assert figures["expected_calibration_error"] < 0.05
    assert 0.5 < figures["tail_0.01"] < 2.0
    written = draw(judged, tmp_path / "report")
    assert [path.name for path in written] == ["reliability.png", "tail.png"]
    assert all(path.stat().st_size > 1000 for path in written)


def test_figures_are_kept_in_the_file() -> None:
    found = pairs(400, 3000)
    judged = held_out({"adults": found}, SHARES, 64, POPULATION)
    model = with_figures(fit_calibration({"adults": found}, SHARES, "m", 64, POPULATION), judged)
    assert model.held_out["brier"] == judged["all"].figures()["brier"]
    assert model.held_out["adults_brier"] == judged["adults"].figures()["brier"]


def test_over_confidence_shows() -> None:
    """Ratios of a hundred to one either way that are right in three of four cases."""
    same = np.array([True] * 4 + [False] * 4)
    ratios = np.log(100.0) * np.where(np.array([1, 1, 1, 0, 0, 0, 0, 1], bool), 1.0, -1.0)
    found = HeldOut(ratios, np.full(8, 0.5), same, np.full(8, 0.125)).figures()
    assert found["expected_calibration_error"] == pytest.approx(100 / 101 - 0.75)
    assert "tail_0.01" not in found


def test_too_few_patients_to_leave_some_out_are_refused() -> None:
    with pytest.raises(CalibrationInvalid):
        held_out({"adults": pairs(4, 30)}, SHARES, 64, POPULATION)
