"""Numbers that cannot be taken for one person are left out where several images bear them, and only there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from retrieval.data.doubtful import doubtful
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted

ROW = ImageRow(Path("a.png"), "a.png", "kermany", "kermany:IM-0608", Split.TEST, "", "AP")


@pytest.mark.parametrize(
    ("patient", "images", "left_out"),
    [
        ("kermany:IM-0608", 2, True),
        ("kermany:NORMAL2-IM-0555", 3, True),
        ("kermany:IM-0608", 1, False),
        ("kermany:person1689_bacteria", 2, False),
        ("nih:IM-0608", 2, False),
    ],
)
def test_a_number_of_an_export_is_doubted_once_it_stands_on_two_images(
    patient: str, images: int, left_out: bool
) -> None:
    rows = [dataclasses.replace(ROW, patient=patient)] * images
    assert trusted(rows) == (() if left_out else tuple(rows))


def test_copies_are_not_trusted_either() -> None:
    original, copy = (dataclasses.replace(ROW, patient=one) for one in ("hannover:6ac9bfff", "covid:243"))
    assert trusted([original, copy]) == (original,)


def test_the_shared_data_hold_sixty_two_of_them(shared: Path) -> None:
    rows = read_manifest(shared / "data" / "manifest.csv")
    found = doubtful(row.patient for row in rows)
    assert len(found) == 62
    assert {row.finding for row in rows if row.patient in found} == {"no_finding"}
