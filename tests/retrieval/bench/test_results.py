from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.bench.classical import GlobalHash
from retrieval.bench.extras import Extra
from retrieval.bench.field import balanced_pairs
from retrieval.bench.lead import leads
from retrieval.bench.measure import Measured, measure, see
from retrieval.bench.page import page
from retrieval.bench.results import Origin, Results, read_results, write_results
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ResultsInvalid
from retrieval.evaluation.cohort import cohorts

ORIGIN = Origin("quick", "little is done", "test", "2026-01-02", "a machine", "1.0", "abc")


@pytest.fixture(scope="module")
def measured() -> Measured:
    """One method on two small datasets."""
    images = np.random.default_rng(0).integers(0, 255, (12, 64, 64)).astype(np.uint8)
    images[1::2] = images[::2]
    rows = [
        ImageRow(Path(), str(i), name, f"{name}:{i // 2}", Split.TEST, "", "PA")
        for i, name in enumerate(["one"] * 6 + ["two"] * 6)
    ]
    method = GlobalHash("aHash")
    found = measure(method, see(method, images), cohorts(rows), balanced_pairs(rows), 20)
    return replace(found, extras=(Extra("a table", ("a", "b"), (("1", "2"), ("3", "4"))),))


def results(folder: Path, *parts: tuple[Measured, str]) -> Results:
    write_results([one for one, _ in parts], {one.about.key: group for one, group in parts}, ORIGIN, folder)
    return read_results(folder)


def test_figures_tables_and_origin_survive_the_files(measured: Measured, tmp_path: Path) -> None:
    found = results(tmp_path, (measured, "p3"))
    assert found.origin == ORIGIN
    assert found.datasets == ["one", "two", "all"]
    assert found.tables == measured.extras
    for line, figures in zip(found.lines, measured.figures, strict=True):
        assert line.figure("auc") == pytest.approx(figures.auc)
        assert math.isnan(line.figure("tpr_at_fpr_1e4"))
    assert measured.field is not None
    assert found.of("all")[0].figure("field_map_at_r") == pytest.approx(measured.field.map_at_r)
    assert math.isnan(found.of("one")[0].figure("field_map_at_r"))


def worse(measured: Measured, key: str, by: float) -> Measured:
    about = replace(measured.about, key=key, name=key)
    return replace(measured, about=about, figures=tuple(replace(f, auc=f.auc - by) for f in measured.figures))


def test_the_lead_is_over_the_best_of_the_others_and_a_tie_is_no_lead(measured: Measured, tmp_path: Path) -> None:
    parts = (
        (worse(measured, "ours", 0.1), "ours"),
        (worse(measured, "a", 0.3), "p3"),
        (worse(measured, "b", 0.2), "p1"),
    )
    found = results(tmp_path, *parts)
    lead = next(one for one in leads(found) if (one.dataset, one.heading) == ("all", "AUC"))
    assert (lead.name, lead.ahead) == ("b", pytest.approx(0.1))
    text = page(found, "picture.png", "tables.md")
    assert "| all | +0.100 |" in text
    assert "It is not alone in the first place here: one, P@1: 1.000, as a" in text


def test_a_page_says_where_this_product_is_behind(measured: Measured, tmp_path: Path) -> None:
    found = results(tmp_path, (worse(measured, "ours", 0.2), "ours"), (worse(measured, "b", 0.1), "p1"))
    assert "all, AUC: 0.800 against 0.900 of b" in page(found, "picture.png", "tables.md")


def test_a_folder_without_figures_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ResultsInvalid, match="holds no figures of `lungprint bench`"):
        read_results(tmp_path)
