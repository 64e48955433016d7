"""Pseudonyms: the same with the same key, others with another, and a key that only its owner can read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cli.datasets.pseudonyms import Pseudonyms
from cli.outcome import InputNotUsable


def test_every_run_has_a_key_of_its_own() -> None:
    first, second = Pseudonyms.fresh(), Pseudonyms.fresh()
    assert first.of("P1", "HOSP") == first.of("P1", "HOSP")
    assert first.of("P1", "HOSP") != second.of("P1", "HOSP")


def test_where_one_identifier_ends_matters() -> None:
    names = Pseudonyms.fresh()
    assert len({names.of("P1", "2"), names.of("P", "12"), names.of("P12"), names.of("P12", "")}) == 4


def test_a_kept_key_gives_the_same_names_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = Pseudonyms.kept(tmp_path / "key")
    assert first.of("P1") == Pseudonyms.kept(tmp_path / "key").of("P1")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert first.key.hex() not in repr(first)


@pytest.mark.parametrize("text", ["no key\n", "abcd\n", ""])
def test_a_file_that_is_no_key_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(InputNotUsable, match="is no key"):
        Pseudonyms.kept(tmp_path / "key")
    assert (tmp_path / "key").read_text() == text
