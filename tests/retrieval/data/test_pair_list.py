from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.data.hard_negatives import AlikeOnPaper, AlikeToNetwork
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.pair_list import PairList, make_pairs, read_pairs, write_pairs
from retrieval.errors import ManifestInvalid


def images(*described: tuple[str, str, float | None]) -> list[ImageRow]:
    """Patient, sex and age of each image."""
    return [
        ImageRow(Path(f"{i}.png"), f"{i}.png", "nih", patient, Split.TRAIN, "", "PA", sex, age)
        for i, (patient, sex, age) in enumerate(described)
    ]


def arrays(pairs: PairList) -> list[np.ndarray]:
    return [pairs.first, pairs.second, pairs.same, pairs.hard]


people = st.lists(
    st.tuples(st.sampled_from("ABCDE"), st.sampled_from(["F", "M", ""]), st.none() | st.integers(0, 90).map(float)),
    min_size=3,
    max_size=25,
).filter(lambda drawn: 1 < len({d[0] for d in drawn}) < len(drawn))


@settings(deadline=None, max_examples=60)
@given(people, st.integers(0, 3), st.none() | st.integers(1, 3))
def test_lists_are_balanced_truthful_and_repeatable(
    drawn: list[tuple[str, str, float | None]], seed: int, most: int | None
) -> None:
    rows = images(*drawn)
    pairs = make_pairs(rows, AlikeOnPaper(rows), seed, most, quiet=True)
    patients = np.array([row.patient for row in rows])
    assert np.array_equal(pairs.same, patients[pairs.first] == patients[pairs.second])
    assert pairs.same.sum() * 2 == len(pairs)
    assert pairs.hard.sum() <= pairs.same.sum() // 2
    again = make_pairs(rows, AlikeOnPaper(rows), seed, most, quiet=True)
    assert all(np.array_equal(one, other) for one, other in zip(arrays(pairs), arrays(again), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder) / "pairs.csv", rows, pairs)
        read = read_pairs(Path(folder) / "pairs.csv", rows)
    assert all(np.array_equal(one, other) for one, other in zip(arrays(pairs), arrays(read), strict=True))


def test_every_image_meets_every_other_of_its_patient_once_and_as_many_strangers() -> None:
    rows = images(("A", "F", 40), ("A", "F", 40), ("A", "F", 41), ("B", "F", 42), ("C", "M", 70), ("C", "M", 71))
    pairs = make_pairs(rows, AlikeOnPaper(rows), 0, quiet=True)
    positives = list(zip(pairs.first[pairs.same].tolist(), pairs.second[pairs.same].tolist(), strict=True))
    assert sorted(positives) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (4, 5), (5, 4)]
    assert Counter(pairs.first[~pairs.same].tolist()) == {0: 2, 1: 2, 2: 2, 4: 1, 5: 1}


def test_hard_negatives_match_on_paper_and_are_exactly_half_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    rows = images(*[(f"P{i // 4}", "FM"[i // 4 % 2], float(40 + rng.integers(0, 4))) for i in range(80)])
    pairs = make_pairs(rows, AlikeOnPaper(rows), 1, quiet=True)
    assert pairs.hard.sum() == len(pairs) // 4
    for a, b in zip(pairs.first[pairs.hard], pairs.second[pairs.hard], strict=True):
        assert rows[a].sex == rows[b].sex
        assert abs((rows[a].age or 0) - (rows[b].age or 0)) <= 3
    other = make_pairs(rows, AlikeOnPaper(rows), 2, quiet=True)
    assert not np.array_equal(pairs.second, other.second)


def test_images_without_a_hard_negative_get_others() -> None:
    rows = images(("A", "F", 20), ("A", "F", 20), ("B", "M", 80))
    pairs = make_pairs(rows, AlikeOnPaper(rows), 0, quiet=True)
    assert not pairs.hard.any()
    assert pairs.second[~pairs.same].tolist() == [2, 2]


def test_partners_may_be_limited() -> None:
    rows = images(*[("A", "F", 40)] * 10, ("B", "F", 40))
    pairs = make_pairs(rows, AlikeOnPaper(rows), 0, most_partners=3, quiet=True)
    assert set(Counter(pairs.first[pairs.same].tolist()).values()) == {3}


def test_a_network_may_choose_the_hard_negatives() -> None:
    rows = images(*[(patient, "", None) for patient in "AABBCC"])
    embedding = np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [-1, 0], [-1, 0.1]], np.float32)
    pairs = make_pairs(rows, AlikeToNetwork(rows, embedding, count=1), 0, quiet=True)
    hard = dict(zip(pairs.first[pairs.hard].tolist(), pairs.second[pairs.hard].tolist(), strict=True))
    assert pairs.hard.sum() == 3
    assert hard.items() <= {0: 2, 1: 2, 2: 1, 3: 1, 4: 3, 5: 3}.items()


@pytest.mark.parametrize("described", [[("A", "", None)] * 3, [("A", "", None), ("B", "", None)], []])
def test_without_partners_or_strangers_there_are_no_pairs(described: list[tuple[str, str, float | None]]) -> None:
    rows = images(*described)
    with pytest.raises(ManifestInvalid, match="look at the datasets and the split"):
        make_pairs(rows, AlikeOnPaper(rows), 0, quiet=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0.png,1.png,0,0", "disagree"),
        ("0.png,2.png,1,0", "disagree"),
        ("0.png,9.png,0,0", r"9\.png"),
        ("0.png,2.png,no,0", "no"),
        ("0.png,0.png,1,0", "itself"),
        ("0.png,1.png,1,1", "hard negative"),
    ],
)
def test_a_list_that_does_not_fit_the_manifest_is_refused(tmp_path: Path, line: str, said: str) -> None:
    rows = images(("A", "", None), ("A", "", None), ("B", "", None))
    (tmp_path / "pairs.csv").write_text(f"file_a,file_b,same,hard\n{line}\n", encoding="utf-8")
    with pytest.raises(ManifestInvalid, match=said):
        read_pairs(tmp_path / "pairs.csv", rows)


def test_the_training_patients_of_the_real_images_give_a_balanced_list(shared: Path) -> None:
    rows = [row for row in read_manifest(shared / "data" / "manifest.csv") if row.split is Split.TRAIN]
    pairs = make_pairs(rows, AlikeOnPaper(rows), 0, quiet=True)
    assert len(pairs) > 10_000
    assert pairs.hard.sum() == len(pairs) // 4
    kinds = [(row.dataset, row.view, row.sex) for row in rows]
    assert all(kinds[a] == kinds[b] for a, b in zip(pairs.first[pairs.hard], pairs.second[pairs.hard], strict=True))
