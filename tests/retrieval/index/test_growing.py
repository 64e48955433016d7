"""An array that grows keeps what it holds, and grows seldom."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from retrieval.index.growing import grown


@pytest.mark.parametrize("axis", [0, 1])
def test_what_was_there_stays_where_it_was(axis: int) -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    wider = grown(array, 9, axis=axis)
    assert wider.shape == ((9, 4) if axis == 0 else (3, 9)) and wider.dtype == np.int32
    assert np.array_equal(wider[:3, :4], array)


def test_an_array_with_room_is_left_alone_and_another_one_doubles() -> None:
    array = np.zeros(8)
    assert grown(array, 8) is array
    assert len(grown(array, 9)) == 16
    assert len(grown(array, 100)) == 100


def test_new_room_is_filled_on_wish() -> None:
    assert grown(np.zeros(2, np.int64), 3, fill=-1).tolist() == [0, 0, -1, -1]


def test_room_that_nobody_has_used_takes_no_memory() -> None:
    """512 MiB of room: a process that touched it would hold it."""
    before = _resident()
    wider = grown(np.ones((8, 1024), np.float32), 131_072)
    assert wider.nbytes == 2**29
    assert _resident() - before < 2**27


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
