from __future__ import annotations

import pytest

from retrieval.data.age import years


@pytest.mark.parametrize(
    ("text", "expected"),
    [("058Y", 58), ("58", 58), ("006M", 0.5), ("052W", 364 / 365.25), ("000D", 0), ("", None), ("414", None)],
)
def test_ages_are_years(text: str, expected: float | None) -> None:
    assert years(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["old", "Y", "5 8"])
def test_what_is_no_age_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        years(text)
