"""A map from ids to rows does what a dictionary does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import IndexInputInvalid
from retrieval.index.id_map import MISSING, IdMap

some_ids = st.lists(st.integers(0, 5000), max_size=8, unique=True)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), some_ids), max_size=20))
def test_it_holds_what_a_dictionary_holds(steps: list[tuple[bool, list[int]]]) -> None:
    found, held = IdMap(), dict[int, int]()
    for turn, (adding, numbers) in enumerate(steps):
        ids = np.array(numbers, np.int64)
        if adding:
            found.put(ids, 10 * turn + np.arange(len(ids)))
            held.update({number: 10 * turn + place for place, number in enumerate(numbers)})
        else:
            twice = np.concatenate([ids, ids])
            assert found.drop(twice).tolist() == [held.pop(number) for number in numbers if number in held]
        assert len(found) == len(held) and found.ids.tolist() == sorted(held)
        asked = np.array([-1, 0, 17, 5000, 2**40, *numbers], np.int64)
        assert found.rows(asked).tolist() == [held.get(number, MISSING) for number in asked.tolist()]
        assert [number in found for number in numbers] == [number in held for number in numbers]


def test_an_id_that_is_not_there_is_named() -> None:
    ids = IdMap()
    ids.put(np.array([3]), np.array([0]))
    assert ids.known(np.array([3, 3])).tolist() == [0, 0]
    with pytest.raises(IndexInputInvalid, match="Image 4 is not"):
        ids.known(np.array([3, 4]))


@pytest.mark.parametrize("number", [-1, 2**31])
def test_ids_out_of_range_are_refused_and_change_nothing(number: int) -> None:
    ids = IdMap()
    with pytest.raises(IndexInputInvalid, match="from 0"):
        ids.put(np.array([5, number]), np.array([0, 1]))
    assert len(ids) == 0 and 5 not in ids
