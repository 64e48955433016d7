"""The registration desk: errors are planted where they can be told, each with patients of its own."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.demonstration.desk import SETTLED, Desk, plant
from cli.demonstration.stream import Film, Planted, Shot, in_order_of_time


def hospital(persons: int, exams: int, seed: int) -> tuple[Film[int], ...]:
    """Persons of two groups with some exams each, in order of time; the content is the exam's number."""
    films = [[Film(f"p{i}", f"g{i % 2}", False, exam) for exam in range(exams)] for i in range(persons)]
    return in_order_of_time(films, random.Random(seed))


def shots(persons: int = 30, exams: int = 5, seed: int = 1) -> tuple[Shot[int], ...]:
    return plant(hospital(persons, exams, seed), random.Random(seed))


@given(seed=st.integers(0, 2**32), persons=st.integers(2, 24), exams=st.integers(1, 6))
def test_every_film_is_sent_once_but_for_the_one_that_is_sent_twice(seed: int, persons: int, exams: int) -> None:
    stream = shots(persons, exams, seed)
    counts = Counter((shot.film.person, shot.film.content) for shot in stream)
    twice = sum(shot.planted is Planted.DUPLICATE_IMAGE for shot in stream)
    assert len(counts) == persons * exams
    assert sorted(counts.values()) == [1] * (persons * exams - twice) + [2] * twice
    assert [shot.number for shot in stream] == list(range(len(stream)))


@given(seed=st.integers(0, 2**32))
def test_a_swap_can_be_told_because_both_patients_have_priors(seed: int) -> None:
    stream = shots(seed=seed)
    for shot in stream:
        if shot.planted is Planted.WRONG_PATIENT:
            before = [s.film.person for s in stream[: shot.number - SETTLED + 1] if s.is_right]
            assert shot.film.person in before
            assert shot.label in before
            assert shot.label != shot.film.person


@given(seed=st.integers(0, 2**32))
def test_a_film_is_swapped_within_its_group_alone(seed: int) -> None:
    stream = shots(seed=seed)
    group = {shot.film.person: shot.film.group for shot in stream}
    assert all(group[s.label] == s.film.group for s in stream if s.planted is Planted.WRONG_PATIENT)


@given(seed=st.integers(0, 2**32))
def test_no_patient_is_in_two_errors(seed: int) -> None:
    involved: list[str] = []
    for shot in shots(seed=seed):
        if not shot.is_right:
            involved += {shot.film.person, shot.label.removesuffix(" (second record)")}
    assert len(involved) == len(set(involved))


def test_the_share_of_swaps_is_kept() -> None:
    stream = shots(60, 5)
    swaps = sum(shot.planted is Planted.WRONG_PATIENT for shot in stream)
    with_priors = 60 * 4
    assert 0.07 <= swaps / with_priors <= 0.11


@pytest.mark.parametrize("planted", [Planted.WRONG_PATIENT, Planted.DUPLICATE_RECORD, Planted.DUPLICATE_IMAGE])
def test_every_kind_of_error_is_planted(planted: Planted) -> None:
    assert any(shot.planted is planted for shot in shots(10, 4))


def test_a_film_sent_twice_goes_to_another_patient() -> None:
    for shot in shots():
        if shot.planted is Planted.DUPLICATE_IMAGE:
            assert shot.label != shot.film.person


def test_lateral_views_are_sent_as_they_are() -> None:
    films = [Film("p", "g", True, 1), Film("q", "g", True, 2)]
    assert [(s.label, s.planted) for s in plant(films, random.Random(1))] == [
        ("p", Planted.LATERAL),
        ("q", Planted.LATERAL),
    ]


def test_the_same_seed_gives_the_same_stream() -> None:
    assert shots(seed=5) == shots(seed=5)
    assert shots(seed=5) != shots(seed=6)


def test_films_are_filed_under_patients_who_suit_alone() -> None:
    films = hospital(30, 4, 2)
    desk = Desk(films, random.Random(2))
    swapped = desk.swap(3, owner=lambda at: films[at].content == 2, label=lambda at, person: desk.is_new(person, at))
    stream = desk.shots()
    assert len(swapped) == 3
    for at in swapped:
        assert films[at].content == 2
        assert stream[at].planted is Planted.WRONG_PATIENT
        assert stream[at].label not in {film.person for film in films[:at]}


def test_no_more_is_swapped_than_suits() -> None:
    films = hospital(6, 3, 1)
    desk = Desk(films, random.Random(1))
    assert desk.swap(5, owner=lambda at: True, label=lambda at, person: False) == []
    assert all(shot.is_right for shot in desk.shots())


def test_a_film_may_be_sent_again_as_another_study_of_its_own_patient() -> None:
    desk = Desk(hospital(8, 4, 1), random.Random(1))
    desk.send_twice(desk.with_any_priors(), own_study=True)
    (again,) = [shot for shot in desk.shots() if shot.planted is Planted.DUPLICATE_IMAGE]
    first = next(shot for shot in desk.shots() if shot.film.person == again.film.person)
    assert again.label == again.film.person
    assert again.film.content == first.film.content
    assert again.number > first.number


def test_chance_finds_a_patient_with_priors_not_always_the_same() -> None:
    found = set()
    for seed in range(20):
        desk = Desk(hospital(12, 4, 1), random.Random(seed))
        at = desk.with_any_priors()
        assert at is not None and desk.priors(hospital(12, 4, 1)[at].person, at) >= 1
        found.add(at)
    assert len(found) > 5
