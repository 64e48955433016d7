from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.data.hard_negatives import AlikeOnPaper, AlikeToNetwork
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ConfigInvalid

kinds = st.tuples(
    st.sampled_from("ABC"),
    st.sampled_from(["nih", "hannover"]),
    st.sampled_from(["PA", "AP", ""]),
    st.sampled_from(["F", "M", ""]),
    st.none() | st.integers(30, 40).map(float),
)


def row(number: int, patient: str, dataset: str, view: str, sex: str, age: float | None) -> ImageRow:
    return ImageRow(Path(f"{number}"), f"{number}", dataset, patient, Split.TRAIN, "", view, sex, age)


def alike(one: ImageRow, other: ImageRow) -> bool:
    if one.patient == other.patient or (one.age is None) != (other.age is None):
        return False
    near = one.age is None or other.age is None or abs(one.age - other.age) <= 3
    return near and (one.dataset, one.view, one.sex) == (other.dataset, other.view, other.sex)


@settings(deadline=None, max_examples=60)
@given(st.lists(kinds, max_size=30))
def test_alike_on_paper_are_exactly_those_that_match(drawn: list[tuple[str, str, str, str, float | None]]) -> None:
    rows = [row(number, *one) for number, one in enumerate(drawn)]
    hard = AlikeOnPaper(rows)
    for position, one in enumerate(rows):
        assert set(hard.of(position).tolist()) == {i for i, other in enumerate(rows) if alike(one, other)}


def test_alike_to_a_network_are_the_nearest_of_other_patients() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(60, 16)).astype(np.float32)
    rows = [row(number, str(number // 6), "nih", "PA", "F", 40) for number in range(60)]
    hard = AlikeToNetwork(rows, embedding, count=5)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    for position, one in enumerate(rows):
        order = np.argsort(-unit @ unit[position])
        nearest = [i for i in order.tolist() if rows[i].patient != one.patient][:5]
        assert hard.of(position).tolist() == nearest


def test_embeddings_must_be_those_of_the_images() -> None:
    with pytest.raises(ConfigInvalid, match="1 images"):
        AlikeToNetwork([row(0, "A", "nih", "PA", "F", 40)], np.ones((2, 4), np.float32))
