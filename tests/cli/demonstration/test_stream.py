"""The demo's stream: films of all persons in one order of time."""

from __future__ import annotations

import random

from cli.demonstration.stream import Film, in_order_of_time


def hospital(persons: int, exams: int, seed: int) -> tuple[Film[int], ...]:
    """Persons of two groups with some exams each, in order of time; the content is the exam's number."""
    films = [[Film(f"p{i}", f"g{i % 2}", False, exam) for exam in range(exams)] for i in range(persons)]
    return in_order_of_time(films, random.Random(seed))


def test_each_person_keeps_the_order_of_the_exams() -> None:
    films = hospital(8, 6, 3)
    for person in {film.person for film in films}:
        assert [film.content for film in films if film.person == person] == list(range(6))


def test_persons_are_mixed() -> None:
    films = hospital(8, 6, 3)
    assert any(a.person != b.person for a, b in zip(films, films[6:], strict=False))
