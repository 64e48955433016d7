"""Figures of the search by findings, against their definitions written out over every order of ties."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from retrieval.evaluation.findings import expected_precision_and_ndcg, finding_sets, findings_search


def plain(relevant: list[bool], depth: int) -> tuple[float, float]:
    """Average precision over all relevant, and nDCG, of a list without ties."""
    total = sum(relevant)
    precision = sum(sum(relevant[: k + 1]) / (k + 1) for k in range(len(relevant)) if relevant[k]) / total
    gain = sum(1 / np.log2(k + 2) for k in range(min(depth, len(relevant))) if relevant[k])
    best = sum(1 / np.log2(k + 2) for k in range(min(depth, total)))
    return precision, gain / best


@pytest.mark.parametrize("depth", [3, 100])
@pytest.mark.parametrize("seed", range(6))
def test_ties_count_as_the_mean_over_all_their_orders(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    distance, relevant = rng.integers(3, size=7), rng.random(7) < 0.5
    relevant[0] = True
    orders = [
        [bool(relevant[i]) for i in order]
        for order in permutations(range(7))
        if all(distance[a] <= distance[b] for a, b in pairwise(order))
    ]
    expected = np.mean([plain(order, depth) for order in orders], axis=0)
    assert expected_precision_and_ndcg(distance, relevant, depth) == pytest.approx(tuple(expected))


def test_a_query_to_which_nothing_is_relevant_counts_zero() -> None:
    assert expected_precision_and_ndcg(np.arange(4), np.zeros(4, dtype=bool)) == (0.0, 0.0)


def test_what_is_not_retrieved_early_still_divides() -> None:
    """Relevant at places 1 and 4 of 4: (1/1 + 2/4) / 2."""
    precision, _ = expected_precision_and_ndcg(np.arange(4), np.array([True, False, False, True]))
    assert precision == pytest.approx(0.75)


def test_images_of_the_same_patient_are_no_hits() -> None:
    findings = finding_sets(["mass", "mass", "mass", "effusion"])
    distance = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    found = findings_search(distance, findings, np.array([0, 0, 1, 2]))
    # Queries 0 and 1 do not see each other: image 2 comes first. To query 2, images 1 and 3 tie before 0.
    tied = np.mean([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])
    assert found.average_precision.tolist() == pytest.approx([1.0, 1.0, tied, 0.0])


def test_images_with_unknown_findings_neither_ask_nor_answer() -> None:
    findings = finding_sets(["mass", "", "todo", "mass"])
    found = findings_search(np.ones((4, 4)), findings, np.arange(4))
    assert len(found.average_precision) == 2
    assert found.average_precision.tolist() == [1.0, 1.0]


def test_equal_distances_give_the_share_of_relevant_images_as_chance() -> None:
    """One of two relevant in random order: mean of 1 and 1/2; the two others share it by symmetry."""
    findings = finding_sets(["mass", "mass", "effusion"])
    found = findings_search(np.zeros((3, 3)), findings, np.arange(3))
    assert found.average_precision.tolist() == pytest.approx([0.75, 0.75, 0.0])


def test_findings_are_read_as_sets_of_words() -> None:
    assert finding_sets(["Effusion|Mass", "COVID-19, ARDS", "", "todo", "No Finding"]) == [
        {"effusion", "mass"},
        {"covid-19", "ards"},
        frozenset(),
        frozenset(),
        {"no finding"},
    ]
