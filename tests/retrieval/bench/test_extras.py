from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval.bench.extras import lsh_table, product_speed, threshold_table
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
