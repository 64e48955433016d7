"""Where the demo's films come from: whole patients, in their own order, lateral views apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cli.demonstration.films import real, synthetic
from cli.outcome import InputNotUsable


def hospital(tmp_path: Path, patients: int = 12, images: int = 3, split: str = "test") -> Path:
    lines = ["file,dataset,patient,split,view,day"]
    for patient in range(patients):
        for image in range(images):
            lines.append(f"{patient}/{image}.jpg,d{patient % 2},p{patient},{split},PA,{-image}")
    lines += [f"l{i}.jpg,lateral,q{i},{split},L," for i in range(5)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "manifest.csv"


def test_synthetic_persons_have_several_exams_and_some_a_lateral_view() -> None:
    films = synthetic(100, 1)
    counts = Counter(film.person for film in films if not film.lateral)
    assert len(films) == 100
    assert min(counts.values()) >= 4
    assert 1 <= sum(film.lateral for film in films) <= 5


def test_two_exams_are_never_the_same() -> None:
    films = synthetic(100, 1)
    assert len({film.content for film in films}) == 100


def test_a_person_s_real_images_keep_their_order_in_time(tmp_path: Path) -> None:
    films = real(hospital(tmp_path), 30, 1)
    for person in {film.person for film in films if not film.lateral}:
        names = [film.content.path.name for film in films if film.person == person]
        assert names == ["2.jpg", "1.jpg", "0.jpg"]


def test_datasets_are_taken_in_turn(tmp_path: Path) -> None:
    groups = Counter(film.group for film in real(hospital(tmp_path), 20, 1) if not film.lateral)
    assert groups["d0"] >= 6
    assert groups["d1"] >= 6


def test_lateral_views_are_few_and_named(tmp_path: Path) -> None:
    films = real(hospital(tmp_path), 30, 1)
    assert sum(film.lateral for film in films) == 4
    assert all(film.content.view == "L" for film in films if film.lateral)


def test_patients_that_the_network_was_trained_on_are_left_out(tmp_path: Path) -> None:
    manifest = hospital(tmp_path, 6)
    manifest.write_text(manifest.read_text() + "t0.jpg,d0,trained,train,PA,0\nt1.jpg,d0,trained,train,PA,1\n")
    assert "trained" not in {film.person for film in real(manifest, 200, 1)}


def test_a_folder_with_a_manifest_is_read_by_it(tmp_path: Path) -> None:
    hospital(tmp_path)
    assert {film.group for film in real(tmp_path, 30, 1)} == {"d0", "d1", "lateral"}


def test_in_a_plain_folder_each_sub_folder_is_a_patient(tmp_path: Path) -> None:
    for patient in ("a", "b"):
        (tmp_path / patient).mkdir()
        for image in range(3):
            (tmp_path / patient / f"{image}.png").write_bytes(b"")
    assert Counter(film.person for film in real(tmp_path, 20, 1)) == {"a": 3, "b": 3}


def test_patients_seen_once_show_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputNotUsable, match="at least two patients"):
        real(hospital(tmp_path, images=1), 30, 1)
