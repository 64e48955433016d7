from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrieval.evaluation.cohort import TOGETHER, Cohort, cohorts

Made = Callable[..., Any]


def pairs_of(cohort: Cohort) -> set[tuple[int, int]]:
    return set(zip(cohort.pairs[0].tolist(), cohort.pairs[1].tolist(), strict=True))


def test_together_people_of_two_datasets_share_a_gallery_but_make_no_pair(rows: Made) -> None:
    found = cohorts(rows(["a", "a"], dataset="x") + rows(["b", "c"], dataset="y"))
    assert [cohort.name for cohort in found] == ["x", "y", TOGETHER]
    assert pairs_of(found[2]) == {(0, 1), (2, 3)}
    assert found[1].positions.tolist() == [2, 3]


def test_one_dataset_needs_no_line_for_all_together(rows: Made) -> None:
    assert [cohort.name for cohort in cohorts(rows(["a", "b"]))] == ["nih"]


def test_matching_keeps_two_persons_of_one_sex_and_age_and_one_person_at_any_age(cohort: Made) -> None:
    made = cohort(list("aabcde"), sex=["F", "F", "F", "M", "F", ""], age=[40, 60, 43, 40, 44, 40])
    kept = {pair for pair, keep in zip(zip(*made.pairs, strict=True), made.matched, strict=True) if keep}
    assert {(int(i), int(j)) for i, j in kept} == {(0, 1), (0, 2), (2, 4)}


def test_images_that_the_gate_refuses_are_left_out(cohort: Made) -> None:
    made = cohort(list("aab")).chosen(np.array([True, False, True]))
    assert made.positions.tolist() == [0, 2]
    assert [row.patient for row in made.rows] == ["a", "b"]
