from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval.bench.extras import Extra, lsh_table, merged, product_speed, threshold_table
from retrieval.data.manifest import ImageRow, Split
from retrieval.evaluation.cohort import cohorts


def test_thresholds_by_hand() -> None:
    """Persons a a b b: of the two true pairs one is at 0.97 and one at 0.86; one false pair is at 0.91."""
    rows = [ImageRow(Path(), "", "toy", f"toy:{i // 2}", Split.TEST, "", "PA") for i in range(4)]
    (cohort,) = cohorts(rows)
    similarity = np.full((4, 4), 0.1, np.float32)
    for i, j, value in ((0, 1, 0.97), (2, 3, 0.86), (0, 2, 0.91)):
        similarity[i, j] = similarity[j, i] = value
    found = threshold_table("toy", similarity, cohort)
    assert found.rows == (
        ("0.85", "100.0 %", "50 %"),
        ("0.90", "50.0 %", "100 %"),
        ("0.95", "50.0 %", "0 %"),
        ("0.99", "0.0 %", "–"),
    )


def test_the_matrix_product_is_timed_on_the_paper_s_sizes() -> None:
    found = product_speed(np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32))
    assert "3,000 x 100" in found.title
    assert float(found.rows[0][2]) > 0


def test_lsh_finds_everything_when_everything_is_compared_and_less_when_less_is() -> None:
    features = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    everything, some = (lsh_table("toy", features, share) for share in (1.0, 0.1))
    assert {value for row in everything.rows for value in row[1:]} == {"1.000"}
    assert all(0 < float(value) <= 1 for row in some.rows for value in row[1:])
    assert float(some.rows[0][3]) < 1


def test_the_tables_of_all_networks_and_cohorts_become_one() -> None:
    heading = ("cosine ≥", "recall", "false positives, of the true ones")
    tables = [
        Extra(f"P2, thresholds: frozen {name}, cosine, {cohort}", heading, ((threshold, f"{name} {cohort}", "1 %"),))
        for name in ("a", "b")
        for cohort in ("nih", "all")
        for threshold in ("0.85",)
    ]
    speed = [
        Extra(f"P2, speed: 3,000 x 100 images, {count} numbers each", ("one", "product"), ((count, "s"),))
        for count in ("8", "9")
    ]
    other = Extra("P5", ("x",), (("y",),))
    thresholds, fast, left = merged([*tables[:2], speed[0], *tables[2:], speed[1], other])
    assert thresholds.heading == (
        "method",
        "cosine ≥",
        *(f"{c}: {said}" for c in ("nih", "all") for said in heading[1:]),
    )
    assert thresholds.rows == (
        ("frozen a, cosine", "0.85", "a nih", "1 %", "a all", "1 %"),
        ("frozen b, cosine", "0.85", "b nih", "1 %", "b all", "1 %"),
    )
    assert (fast.title, fast.rows) == ("P2, table 2: speed: 3,000 x 100 images", (("8", "8", "s"), ("9", "9", "s")))
    assert left == other
