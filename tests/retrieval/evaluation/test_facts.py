from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.evaluation.facts import facts_of, learned_from
from retrieval.evaluation.pairs import Pairs

Made = Callable[..., Any]


def scored(cohort: Any, cosine: list[float]) -> Pairs:
    zeros = np.zeros(len(cosine), dtype=np.int64)
    return Pairs(cohort.same, np.array(cosine, dtype=np.float32), zeros, *cohort.pair_patients)


def test_facts_are_counted_from_rows_and_pairs(cohort: Made) -> None:
    made = cohort(
        list("aaabbc"), age=[10, 12, None, 40, 41, None], sex=["F", "F", "", "M", "M", ""], day=[0, 3, 9, 5, None, 1]
    )
    found = facts_of(made, scored(made, [0.5] * 15))
    assert (found.images, found.patients, found.speaking) == (6, 3, 2)
    assert (found.same_pairs, found.different_pairs) == (4, 11)
    assert found.largest_share == pytest.approx(3 / 4)
    assert found.half_from == 1
    assert found.aged == pytest.approx(4 / 6)
    assert found.children == pytest.approx(2 / 4)
    assert found.sexed == pytest.approx(4 / 6)
    assert (found.days, found.dated) == (6.0, 3 / 4)
    assert found.close_strangers == 0


def test_strangers_that_look_more_alike_than_most_of_the_same_are_counted(cohort: Made) -> None:
    made = cohort(list("aabc"))
    assert made.same.tolist() == [True, False, False, False, False, False]
    assert facts_of(made, scored(made, [0.5, 0.9, 0.4, 0.6, 0.1, 0.2])).close_strangers == 2


def test_a_gallery_without_partners_has_facts_too(cohort: Made) -> None:
    made = cohort(list("abc"))
    found = facts_of(made, scored(made, [0.1, 0.2, 0.3]))
    assert (found.same_pairs, found.speaking, found.close_strangers) == (0, 0, 0)
    assert np.isnan(found.largest_share)


def test_what_a_network_learned_from_stands_in_its_card(tmp_path: Path) -> None:
    assert learned_from(tmp_path / "none.safetensors") == ()
    (tmp_path / "w.toml").write_text('name = "w"\n[recipe]\ndatasets = ["nih"]\n')
    assert learned_from(tmp_path / "w.safetensors") == ("nih",)
