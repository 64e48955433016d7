from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from retrieval.bench.field import balanced_pairs, field_figures, kept_pairs
from retrieval.data.manifest import ImageRow, Split


def rows(patients: str, dataset: str = "toy") -> list[ImageRow]:
    return [
        ImageRow(Path(), f"{dataset}-{i}", dataset, f"{dataset}:{name}", Split.TEST, "", "PA")
        for i, name in enumerate(patients)
    ]


def test_pairs_are_all_of_one_person_and_as_many_of_two_within_a_dataset() -> None:
    listed = [*rows("aaabbcd"), *rows("xyz", "other")]
    found = balanced_pairs(listed)
    named = [{listed[a].patient, listed[b].patient} for a, b in zip(found.first, found.second, strict=True)]
    assert found.same.tolist() == [len(one) == 1 for one in named]
    assert (int(found.same.sum()), int((~found.same).sum())) == (4, 4)
    assert all(listed[a].dataset == listed[b].dataset for a, b in zip(found.first, found.second, strict=True))
    again = balanced_pairs(listed)
    assert np.array_equal(found.first, again.first)
    assert np.array_equal(found.second, again.second)


def test_figures_are_those_of_the_list_and_of_leave_one_out_search() -> None:
    """Patients a a a b b: image 0 finds both partners first, image 1 one of two, image 2 none; b find each other."""
    listed = rows("aaabb")
    similarity = np.zeros((5, 5), np.float32)
    similarity[0] = [9, 0.9, 0.8, 0.1, 0.2]
    similarity[1] = [0.9, 9, 0.1, 0.8, 0.2]
    similarity[2] = [0.1, 0.2, 9, 0.9, 0.8]
    similarity[3] = [0.1, 0.2, 0.3, 9, 0.9]
    similarity[4] = [0.1, 0.2, 0.3, 0.9, 9]
    pairs = balanced_pairs(listed)
    found = field_figures("m", similarity, listed, pairs, 20)
    assert found.precision_at_1 == pytest.approx(4 / 5)
    assert found.r_precision == pytest.approx((1 + 1 / 2 + 0 + 1 + 1) / 5)
    assert found.map_at_r == pytest.approx((1 + 1 / 2 + 0 + 1 + 1) / 5)
    assert found.pairs.auc == pytest.approx(roc_auc_score(pairs.same, similarity[pairs.first, pairs.second]))


def test_pairs_with_an_image_that_is_left_out_are_left_out() -> None:
    pairs = balanced_pairs(rows("aabbcc"))
    keep = np.array([True, True, True, True, False, True])
    found = kept_pairs(pairs, keep)
    assert 0 < len(found.same) < len(pairs.same)
    assert 4 not in {*found.first.tolist(), *found.second.tolist()}
