"""Pairs of one birth date are found by the header alone, whatever the images show."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.audit import birthdays
from retrieval.audit.birthdays import born_together
from retrieval.audit.gallery import AuditGallery
from retrieval.headers import Header, Headers


def gallery_of(person: list[int]) -> AuditGallery:
    numbers = np.arange(len(person))
    return AuditGallery(
        instance=numbers + 1,
        person=np.array(person),
        study=numbers,
        exposure=numbers,
        trusted=np.ones(len(person), np.bool_),
        embedding=np.zeros((len(person), 2), np.float32),
        code=np.zeros((len(person), 1), np.uint8),
    )


def pairs_of(gallery: AuditGallery, headers: Headers) -> set[tuple[int, int]]:
    found = [pair for rows in born_together(gallery, headers) for pair in zip(*map(list, rows), strict=True)]
    assert len(found) == len(set(found))
    return {(int(first), int(second)) for first, second in found}


def test_images_of_two_persons_born_on_one_day_are_paired_once() -> None:
    rng = np.random.default_rng(0)
    person = rng.integers(1, 40, 120).tolist()
    days = {number: f"1950010{number % 7}" if number % 5 else "" for number in range(1, 40)}
    gallery = gallery_of(person)
    expected = {
        (i, j)
        for i in range(120)
        for j in range(i + 1, 120)
        if person[i] != person[j] and days[person[i]] == days[person[j]] != ""
    }
    assert pairs_of(gallery, Headers({number: Header("", day) for number, day in days.items()})) == expected
    assert len(expected) > 100


def test_nobody_is_born_together_without_birth_dates_or_images() -> None:
    assert pairs_of(gallery_of([1, 2, 3]), Headers()) == set()
    assert pairs_of(gallery_of([]), Headers()) == set()


def test_a_date_that_very_many_share_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthdays, "MOST_IMAGES", 3)
    headers = Headers({number: Header("M", "19000101" if number < 5 else "19610704") for number in range(1, 8)})
    assert pairs_of(gallery_of([1, 2, 3, 4, 5, 6, 7]), headers) == {(4, 5), (5, 6), (4, 6)}
