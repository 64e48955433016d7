"""Pictures are PNG files that show something, with the axes that they should have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from retrieval.evaluation import plots
from retrieval.evaluation.cohort import Cohort, cohorts
from retrieval.evaluation.metrics import reliability
from retrieval.evaluation.pairs import Pairs
from retrieval.evaluation.plots import style
from retrieval.evaluation.plots.hits import chance_hits
from retrieval.evaluation.plots.worst import worst_pairs
from retrieval.evaluation.protocol import Curves, Figures, evaluate

Made = Callable[..., Any]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved."""
    saved: list[Figure] = []
    original = Figure.savefig

    def keep(self: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


@pytest.fixture
def two(rows: Made) -> tuple[Cohort, ...]:
    """Two datasets of ten patients with two images each, and both together."""
    patients = [f"{i // 2:02}" for i in range(20)]
    return cohorts(rows([f"x{p}" for p in patients], dataset="x") + rows([f"y{p}" for p in patients], dataset="y"))


def scored(cohort: Cohort, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, len(cohort.rows)])
    noise = rng.normal(0, 0.3, (len(cohort.rows),) * 2)
    return np.clip(0.6 * (cohort.patients[:, None] == cohort.patients[None, :]) + noise, -1, 1)


def figured(two: tuple[Cohort, ...]) -> tuple[list[Figures], list[Curves]]:
    found = [evaluate(m, scored(c, i), c, rounds=20) for c in two for i, m in enumerate(("embedding", "pixels"))]
    return [figures for figures, _ in found], [curve for _, curve in found]


def compared(two: tuple[Cohort, ...]) -> dict[str, Pairs]:
    made = {}
    for cohort in two:
        cosine = scored(cohort)[cohort.pairs].astype(np.float32)
        made[cohort.name] = Pairs(cohort.same, cosine, np.zeros(len(cosine), np.int64), *cohort.pair_patients)
    return made


def seen(path: Path) -> np.ndarray:
    """The picture, which must be a PNG with more than a few colours and of a size that can be read."""
    assert path.read_bytes().startswith(b"\x89PNG")
    picture = cv2.imread(str(path))
    assert min(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    return picture


def labels(figure: Figure) -> set[str]:
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def test_roc_has_a_logarithmic_axis_every_method_and_chance(
    two: tuple[Cohort, ...], drawn: list[Figure], tmp_path: Path
) -> None:
    figures, curves = figured(two)
    seen(plots.draw_roc(curves, figures, tmp_path / "roc.png"))
    shown = [axis for axis in drawn[0].axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["x", "y", "all"]
    assert all((axis.get_xscale(), axis.get_yscale()) == ("log", "linear") for axis in shown)
    assert all(axis.get_xlim()[1] == 1 and 0 < axis.get_xlim()[0] <= 0.01 for axis in shown)
    assert all(
        (axis.get_xlabel(), axis.get_ylabel()) == ("false positive rate", "true positive rate") for axis in shown
    )
    assert labels(drawn[0]) == {"embedding", "pixels", "chance"}


def test_hits_are_drawn_by_length_with_chance(two: tuple[Cohort, ...], drawn: list[Figure], tmp_path: Path) -> None:
    seen(plots.draw_hits(figured(two)[1], two, tmp_path / "hits.png"))
    shown = [axis for axis in drawn[0].axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["x: 20 images", "y: 20 images", "all: 40 images"]
    assert shown[0].get_xlim() == (1, 30)
    assert len(shown[0].get_lines()) == 3


def test_chance_of_a_hit_is_that_of_drawing_without_replacement(cohort: Made) -> None:
    """Patients a, a, a, b, b: a has 2 partners among 4 others, b has 1."""
    found = chance_hits(cohort(list("aaabb")), np.arange(1, 5))
    one = (3 * (2 / 4) + 2 * (1 / 4)) / 5
    two = (3 * (1 - 2 / 4 * 1 / 3) + 2 * (2 / 4)) / 5
    assert found.tolist() == pytest.approx([one, two, (3 * 1 + 2 * 3 / 4) / 5, 1.0])


def test_histograms_count_both_kinds_on_a_logarithmic_axis(
    two: tuple[Cohort, ...], drawn: list[Figure], tmp_path: Path
) -> None:
    seen(plots.draw_histograms(compared(two), tmp_path / "histograms.png"))
    shown = [axis for axis in drawn[0].axes if axis.axison]
    assert all((axis.get_xscale(), axis.get_yscale()) == ("linear", "log") for axis in shown)
    assert labels(drawn[0]) == {"same person", "different persons"}


def test_reliability_shows_how_many_pairs_stand_behind_each_point(drawn: list[Figure], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(25_000)
    found = reliability(probability, rng.random(25_000) < probability**2, np.ones(25_000), bins=2)
    seen(plots.draw_reliability({"x": found}, tmp_path / "reliability.png"))
    (axis,) = drawn[0].axes
    counts = [*found.same, *found.different]
    said = [f"{n / 1000:.0f}k" if n >= 10_000 else str(n) for n in counts]
    assert sorted(text.get_text() for text in axis.texts) == sorted(said)
    assert any(word.endswith("k") for word in said)
    assert axis.get_xlim() == (0, 1)
    assert f"{found.expected_calibration_error:.3f}" in axis.get_title()


def test_the_worst_pairs_are_the_lowest_of_one_person_and_the_highest_of_two(two: tuple[Cohort, ...]) -> None:
    pairs = compared(two)
    found = worst_pairs(two, pairs, each=2)
    assert [pair.number for pair in found] == list(range(1, 9))
    assert [(pair.dataset, pair.same) for pair in found[:4]] == [("x", True)] * 2 + [("x", False)] * 2
    mine = pairs["x"]
    assert found[0].cosine == pytest.approx(mine.cosine[mine.same].min())
    assert found[2].cosine == pytest.approx(mine.cosine[~mine.same].max())
    rows = two[-1].rows
    assert all((rows[p.first].patient == rows[p.second].patient) is p.same for p in found)
    strangers = [rows[i].patient for p in found[2:4] for i in (p.first, p.second)]
    assert len(set(strangers)) == 4


def test_the_contact_sheet_names_nobody(two: tuple[Cohort, ...], drawn: list[Figure], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32)).astype(np.uint8)
    found = worst_pairs(two, compared(two), each=2)
    seen(plots.draw_worst(found, images, tmp_path / "worst.png"))
    said = " ".join(text.get_text() for text in drawn[0].findobj(match=lambda part: hasattr(part, "get_text")))
    assert "8 b: " in said
    assert not any(row.patient in said or row.file in said for row in two[-1].rows)


def test_every_change_is_shown_beside_the_original(drawn: list[Figure], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 200, (2, 64, 64)).astype(np.uint8)
    seen(plots.draw_changes(images, tmp_path / "shortcuts.png"))
    shown = [axis.get_title() for axis in drawn[0].axes if axis.get_images()]
    assert len(shown) == 9
    assert shown[0] == "unchanged"


def test_colours_of_methods_differ() -> None:
    looks = {(style.line_style(i)["color"], str(style.line_style(i)["linestyle"])) for i in range(7)}
    assert len(looks) == 7
