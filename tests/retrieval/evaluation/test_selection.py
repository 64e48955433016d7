from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import ManifestInvalid
from retrieval.evaluation.selection import select

Made = Callable[..., Any]


def test_all_images_are_taken_where_they_fit_and_lateral_ones_are_not_compared(rows: Made) -> None:
    chosen = select(rows(list("aabb"), view=["PA", "L", "AP", "PA"]), 10)
    assert chosen.encoded == (0, 1, 2, 3)
    assert chosen.compared == (0, 2, 3)


def test_too_many_images_lose_whole_patients(rows: Made) -> None:
    made = rows([f"p{i // 4}" for i in range(80)])
    chosen = select(made, 30)
    assert len(chosen.compared) == 28
    left = [made[i].patient for i in chosen.compared]
    assert all(left.count(patient) == 4 for patient in left)


def test_images_that_a_list_of_pairs_names_are_encoded_whatever_the_limit(rows: Made, tmp_path: Path) -> None:
    made = rows([f"p{i}" for i in range(40)])
    listed = tmp_path / "pairs.csv"
    lines = [f"nih-{i}.png,nih-{i + 1}.png,0\n" for i in range(0, 40, 2)]
    listed.write_text("file_a,file_b,same\n" + "".join(lines))
    chosen = select(made, 10, listed)
    assert len(chosen.compared) == 10
    assert len(chosen.encoded) == 40
    assert chosen.pairs is not None
    assert [made[chosen.encoded[i]].file for i in chosen.pairs.first][:2] == ["nih-0.png", "nih-2.png"]


def test_a_list_that_names_lateral_or_unknown_images_is_refused(rows: Made, tmp_path: Path) -> None:
    listed = tmp_path / "pairs.csv"
    listed.write_text("file_a,file_b,same\nnih-0.png,nih-1.png,1\nnih-0.png,elsewhere.png,0\n")
    with pytest.raises(ManifestInvalid, match="2 pairs, 2 of them"):
        select(rows(list("aa"), view=["PA", "L"]), 10, listed)
