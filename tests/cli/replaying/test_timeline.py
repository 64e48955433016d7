"""Images of a manifest on one line of time, chosen by split, dataset and number."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest

from cli.outcome import InputNotUsable
from cli.replaying.timeline import PERIOD_DAYS, chosen, row_numbers, timeline
from tests.cli.replaying.people import hospital


def manifest(tmp_path: Path) -> Path:
    lines = ["file,patient,dataset,split"]
    for split in ("train", "test"):
        lines += [f"{split}{p}-{i}.png,{split}{p},{'ab'[p % 2]},{split}" for p in range(6) for i in range(3)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "manifest.csv"


def test_days_between_the_images_of_a_patient_are_kept() -> None:
    films = timeline(hospital(5, 4), random.Random(1))
    moments = defaultdict(list)
    for film in films:
        moments[film.person].append(film.moment)
    for own in moments.values():
        assert [later - own[0] for later in own] == pytest.approx([0, 3, 6, 9], abs=0.01)
        assert own[0] >= 0 and own[-1] <= PERIOD_DAYS


def test_without_days_the_order_is_kept() -> None:
    sources = hospital(6, 5, day="")
    numbered = tuple(type(s)(s.name, s.path, {**s.columns, "sequence": str(9 - int(s.name[-5]))}) for s in sources)
    films = timeline(numbered, random.Random(1))
    for person in {film.person for film in films}:
        assert [film.content.path.stem[-1] for film in films if film.person == person] == list("43210")


def test_the_stream_is_in_order_of_time_and_patients_are_mixed() -> None:
    films = timeline(hospital(20, 3), random.Random(2))
    assert [film.moment for film in films] == sorted(film.moment for film in films)
    assert [film.person for film in films] != sorted(film.person for film in films)


def test_only_the_split_that_was_asked_for_is_replayed(tmp_path: Path) -> None:
    found = chosen(manifest(tmp_path), "test", (), None, 1)
    assert len(found) == 18
    assert all(source.columns["split"] == "test" for source in found)
    assert len(chosen(manifest(tmp_path), "all", (), None, 1)) == 36


def test_datasets_are_chosen_by_name(tmp_path: Path) -> None:
    assert {s.columns["dataset"] for s in chosen(manifest(tmp_path), "test", ("a",), None, 1)} == {"a"}
    with pytest.raises(InputNotUsable, match="no images of the split 'test' in the datasets nobody"):
        chosen(manifest(tmp_path), "test", ("nobody",), None, 1)


def test_a_limit_takes_whole_patients(tmp_path: Path) -> None:
    found = chosen(manifest(tmp_path), "test", (), 8, 1)
    patients = [source.columns["patient"] for source in found]
    assert len(found) == 6
    assert {patients.count(patient) for patient in patients} == {3}
    assert chosen(manifest(tmp_path), "test", (), 8, 1) == found
    assert any(chosen(manifest(tmp_path), "test", (), 8, seed) != found for seed in range(2, 8))


def test_rows_are_numbered_as_in_the_manifest(tmp_path: Path) -> None:
    assert row_numbers(manifest(tmp_path))[tmp_path / "train0-1.png"] == 2


def test_patients_whose_numbers_cannot_be_trusted_are_not_replayed(tmp_path: Path) -> None:
    listed = ["kermany:IM-0001", "kermany:IM-0001", "kermany:IM-0002", "covid:30", "covid:31"]
    lines = ["file,patient,split", *(f"{i}.png,{name},test" for i, name in enumerate(listed))]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = chosen(tmp_path / "manifest.csv", "test", (), None, 1)
    assert [source.columns["patient"] for source in found] == ["kermany:IM-0002", "covid:31"]
