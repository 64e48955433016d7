"""Images move along the allowed steps alone."""

from __future__ import annotations

import itertools

import pytest

from archive.states import STEPS, IllegalStep, ImageState, check_step


def test_the_way_of_one_image_is_allowed() -> None:
    for current, wanted in itertools.pairwise((ImageState.RECEIVED, ImageState.ENCODED, ImageState.MATCHED)):
        check_step(current, wanted)


@pytest.mark.parametrize("wanted", [ImageState.ENCODED, ImageState.MATCHED, ImageState.FAILED])
def test_a_matched_image_leaves_only_when_another_takes_its_place(wanted: ImageState) -> None:
    check_step(ImageState.MATCHED, ImageState.RECEIVED)
    check_step(ImageState.MATCHED, ImageState.UNSUITABLE)
    with pytest.raises(IllegalStep, match="MATCHED"):
        check_step(ImageState.MATCHED, wanted)


def test_a_dead_letter_only_starts_again() -> None:
    assert STEPS[ImageState.FAILED] == {ImageState.RECEIVED}


def test_every_state_has_its_steps() -> None:
    assert set(STEPS) == set(ImageState)
