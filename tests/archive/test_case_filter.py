"""A filter passes what the header says, and nothing that it does not say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from archive.case_filter import CaseFilter, FilterInvalid, age_at, fitting
from archive.database import Database
from archive.states import ImageState
from tests.archive.filing import file_image, file_patient


@pytest.fixture
def images(database: Database) -> dict[str, int]:
    with database.write() as session:
        woman = file_patient(session, "P-1", birth_date="19600314", sex="F")
        man = file_patient(session, "P-2", birth_date="19800101", sex="M")
        unknown = file_patient(session, "P-3")
        undated = file_image(session, woman, 2010)
        undated.series.study.acquired_at = None
        return {
            "woman 2020": file_image(session, woman, 2020).id,
            "woman 2024": file_image(session, woman, 2024).id,
            "man 2024": file_image(session, man, 2024).id,
            "unknown 2024": file_image(session, unknown, 2024).id,
            "undated": undated.id,
            "failed": file_image(session, woman, 2024, state=ImageState.FAILED).id,
        }


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"woman 2020", "woman 2024", "man 2024", "unknown 2024", "undated"}),
        ({"since": "2024-03-14"}, {"woman 2024", "man 2024", "unknown 2024"}),
        ({"since": "2024-03-15"}, set()),
        ({"until": "2020-03-14"}, {"woman 2020"}),
        ({"until": "2020-03-13"}, set()),
        ({"sex": "F"}, {"woman 2020", "woman 2024", "undated"}),
        ({"age_from": "60"}, {"woman 2020", "woman 2024"}),
        ({"age_from": 61, "age_to": 64}, {"woman 2024"}),
        ({"age_to": 44, "sex": "M", "since": "2000-01-01"}, {"man 2024"}),
        ({"age_to": 43}, set()),
    ],
)
def test_images_fit_by_what_their_header_says(
    database: Database, images: dict[str, int], asked: dict[str, object], expected: set[str]
) -> None:
    wanted = CaseFilter.read(asked)
    assert bool(wanted) is bool(asked)
    assert CaseFilter.read(wanted.as_json()) == wanted
    with database.read() as session:
        assert fitting(session, wanted) == {images[name] for name in expected}
        some = [images["woman 2020"], images["man 2024"], images["failed"]]
        assert fitting(session, wanted, some) == {images[name] for name in expected} & set(some)


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "14.3.2024"},
        {"since": "2024-03-14", "until": "2024-03-13"},
        {"sex": "female"},
        {"age_from": -1},
        {"age_to": 131},
        {"age_from": 50, "age_to": 49},
        {"age_from": "fifty"},
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(FilterInvalid):
        CaseFilter.read(asked)


@pytest.mark.parametrize(
    ("birth_date", "age"), [("19600314", 64), ("19600315", 63), ("20250101", None), ("1960", None), ("", None)]
)
def test_the_age_is_in_completed_years_or_unknown(birth_date: str, age: int | None) -> None:
    assert age_at(birth_date, datetime(2024, 3, 14, 9, tzinfo=UTC)) == age
    assert age_at("19600314", None) is None
