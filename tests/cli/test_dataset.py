"""`lungprint dataset`: every kind of source becomes a manifest that training reads, and names nobody."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
import zipfile
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from archive.database import Database
from archive.files import ImageFiles
from archive.states import AlertState, ImageState
from cli.dataset import command
from config.paths import DataDir
from dicom_node.pixels import decode
from dicom_node.wrap import PatientHeader, StudyHeader, View, digital_xray
from retrieval.data.cache import read_gray
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.pair_list import read_pairs
from retrieval.preprocess import prepare
from retrieval.weights import DEFAULT_NAME
from tests.archive.filing import file_alert, file_image, file_patient

NAME, MRN = "Secret^Name", "MRN4711"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def make(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    done = run("make", *arguments, "--json")
    assert done.exit_code == code, done.output + repr(done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def noise(seed: int, depth: int = 8) -> NDArray[Any]:
    kind = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << depth, (96, 80)).astype(kind)


def film(
    path: Path,
    patient: str,
    seed: int,
    day: int = 1,
    view: View = View.PA,
    depth: int = 12,
    burned: bool = False,
    **study: str,
) -> Path:
    """A DICOM file of a person born in 1950, taken in March 2024."""
    image = digital_xray(
        noise(seed, depth),
        patient=PatientHeader(patient_id=patient, name=NAME, birth_date=date(1950, 6, 1), sex="F"),
        study=StudyHeader(taken=datetime(2024, 3, day, 12), accession_number="ACC99", **study),
        view=view,
        burned_in_annotation=burned,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def by_patient(rows: tuple[ImageRow, ...]) -> list[list[ImageRow]]:
    found: dict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        found[row.patient].append(row)
    return sorted(found.values(), key=len)


def test_a_table_of_ones_own_becomes_a_manifest(tmp_path: Path) -> None:
    for number in range(30):
        cv2.imwrite(str(tmp_path / f"{number}.png"), noise(number))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    lines = [f"{number}.png,P{number // 3}\n" for number in range(30)]
    (tmp_path / "list.csv").write_text("file,patient\n" + "".join(lines) + "broken.png,P1\n")
    made = make(tmp_path / "list.csv", "-o", tmp_path / "set", "--name", "ward", "--left-out", tmp_path / "why", code=1)
    rows = read_manifest(tmp_path / "set" / "manifest.csv")
    assert len(rows) == made["images"] == sum(split["images"] for split in made["splits"].values()) == 30
    assert {row.dataset for row in rows} == {"ward"}
    assert all(len({row.split for row in images}) == 1 for images in by_patient(rows))
    assert made["reasons"] == {"it cannot be read": 1}
    assert (tmp_path / "why").read_text() == "it cannot be read\tbroken.png\n"
    again = make(tmp_path / "list.csv", "-o", tmp_path / "again", "--name", "ward", code=1)
    assert read_manifest(Path(again["manifest"])) == rows
    other = make(tmp_path / "list.csv", "-o", tmp_path / "other", "--name", "ward", "--split", "0/0/1", code=1)
    assert {row.split for row in read_manifest(Path(other["manifest"]))} == {Split.TEST}


def test_chestxray14_becomes_a_manifest(tmp_path: Path) -> None:
    heading = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    (tmp_path / "Data_Entry_2017.csv").write_text(heading + "1_0.png,Pneumonia,0,1,58,M,PA\n1_1.png,x,1,1,58,M,PA\n")
    (tmp_path / "images_001" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images_001" / "images" / "1_0.png"), noise(0))
    made = make(tmp_path, "-o", tmp_path / "set")
    (row,) = read_manifest(Path(made["manifest"]))
    assert (row.dataset, row.patient, row.finding, row.view, row.age) == ("nih", "nih:1", "Pneumonia", "PA", 58)
    assert made["reasons"] == {"it is in the table but in no folder": 1}


def test_a_dicom_folder_becomes_images_and_a_manifest_that_name_nobody(tmp_path: Path) -> None:
    film(tmp_path / "in" / NAME / "1.dcm", MRN, 1, day=3)
    film(tmp_path / "in" / NAME / "2", MRN, 2, day=17, view=View.AP, depth=8)
    film(tmp_path / "in" / "other.dcm", "P2", 3)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    made = make(tmp_path / "in", "-o", tmp_path / "set", "--name", "ward")
    rows = read_manifest(tmp_path / "set" / "manifest.csv")
    (other,), images = by_patient(rows)
    assert [(row.view, row.sex, row.age, row.day) for row in images] == [("PA", "F", 73, 0), ("AP", "F", 73, 14)]
    assert other.day == 0
    assert [read_gray(row.path).dtype for row in images] == [np.float32, np.uint8]
    for row, source in zip(images, ("1.dcm", "2"), strict=True):
        decoded = prepare(decode(tmp_path / "in" / NAME / source).pixels)
        assert np.abs(prepare(read_gray(row.path)).astype(int) - decoded).max() <= 1
    everything = " ".join(str(path) for path in (tmp_path / "set").rglob("*"))
    everything += (tmp_path / "set" / "manifest.csv").read_text() + json.dumps(made)
    pixels = b"".join(row.path.read_bytes() for row in rows)
    for secret in (NAME, MRN, "P2", "ACC99", "2024", "1950", hashlib.sha256(MRN.encode()).hexdigest()[:16]):
        assert secret not in everything
        assert secret.encode() not in pixels
    assert stat.S_IMODE((tmp_path / "set" / "images").stat().st_mode) == 0o700


def test_dicom_files_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    film(folder / "good.dcm", "P1", 1)
    film(folder / "again.dcm", "P1", 1)
    film(folder / "lateral.dcm", "P1", 2, view=View.LL)
    film(folder / "burned.dcm", "P1", 3, burned=True)
    film(folder / "swapped_a.dcm", "P2", 4)
    film(folder / "swapped_b.dcm", "P3", 4)
    film(folder / "study_a.dcm", "P4", 5, study_uid="2.25.1")
    film(folder / "study_b.dcm", "P5", 6, study_uid="2.25.1")
    film(folder / "uid_a.dcm", "P6", 7, instance_uid="2.25.2")
    film(folder / "uid_b.dcm", "P6", 8, instance_uid="2.25.2")
    torn = film(folder / "torn.dcm", "P7", 9)
    torn.write_bytes(torn.read_bytes()[:-5000])
    made = make(folder, "-o", tmp_path / "set", "--left-out", tmp_path / "why", code=1)
    assert (made["images"], made["broken"]) == (2, 1)
    with (tmp_path / "why").open(newline="") as stream:
        reasons = {Path(name).name: reason for reason, name in csv.reader(stream, delimiter="\t")}
    assert reasons.keys() == {path.name for path in folder.iterdir()} - {"again.dcm", "uid_a.dcm"}
    assert "lateral" in reasons["lateral.dcm"]
    assert "burned into" in reasons["burned.dcm"]
    assert "another patient" in reasons["swapped_a.dcm"] and "another patient" in reasons["swapped_b.dcm"]
    assert "more than one Patient ID" in reasons["study_a.dcm"]
    assert "shorter than the header says" in reasons["torn.dcm"]
    assert len(list((tmp_path / "set").rglob("*.png"))) == 2


def test_lateral_views_come_when_asked_for(tmp_path: Path) -> None:
    film(tmp_path / "in" / "lateral.dcm", "P1", 2, view=View.LL)
    assert "No image could be used" in str(run("make", tmp_path / "in", "-o", tmp_path / "set").exception)
    (tmp_path / "set" / "images").rmdir()
    make(tmp_path / "in", "-o", tmp_path / "set", "--lateral")
    assert read_manifest(tmp_path / "set" / "manifest.csv")[0].view == "L"


def test_without_a_key_names_are_new_each_time_and_with_one_a_run_goes_on(tmp_path: Path) -> None:
    film(tmp_path / "in" / "1.dcm", MRN, 1)

    def patient(folder: str, *options: str | Path) -> str:
        make(tmp_path / "in", "-o", tmp_path / folder, *options)
        return read_manifest(tmp_path / folder / "manifest.csv")[0].patient

    assert patient("a") != patient("b")
    again = run("make", tmp_path / "in", "-o", tmp_path / "a", "--overwrite")
    assert "images of an earlier run" in str(again.exception)
    key = ("--key", tmp_path / "key")
    first = patient("c", *key)
    (png,) = (tmp_path / "c").rglob("*.png")
    written = png.stat().st_mtime_ns
    film(tmp_path / "in" / "2.dcm", MRN, 2)
    assert patient("c", *key, "--overwrite") == first
    assert png.stat().st_mtime_ns == written
    assert len(read_manifest(tmp_path / "c" / "manifest.csv")) == 2


def test_the_archive_gives_what_nobody_doubts(tmp_path: Path, folder: DataDir, database: Database) -> None:
    files = ImageFiles(folder)

    def stored(seed: int) -> str:
        path = film(tmp_path / f"{seed}.dcm", "as in the header", seed, day=seed)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.keep(path, digest)
        return digest

    with database.write() as session:
        good, doubted = file_patient(session, MRN, NAME), file_patient(session, "P2")
        for seed in (1, 2):
            file_image(session, good).file_digest = stored(seed)
        file_image(session, good)
        file_image(session, good, state=ImageState.UNSUITABLE)
        file_alert(session, file_image(session, doubted), state=AlertState.OPEN)
    made = make("--from-archive", "-o", tmp_path / "set", "--data-dir", folder.root, code=1)
    rows = read_manifest(tmp_path / "set" / "manifest.csv")
    assert [row.day for row in rows] == [0, 1]
    assert len({row.patient for row in rows}) == 1
    assert made["reasons"] == {
        "the file is missing": 1,
        "no frontal chest image, or too little in it": 1,
        "an alert about its Patient ID is open or confirmed": 1,
    }
    text = (tmp_path / "set" / "manifest.csv").read_text()
    assert MRN not in text and "header" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "set"), "Name a SOURCE"),
        ((".", "--from-archive", "-o", "set"), "one of both"),
        (("list.csv", "-o", "."), "whose manifest would be lost"),
        (("list.csv", "-o", "set", "--split", "70/30"), "TRAIN/VAL/TEST"),
        (("list.csv", "-o", "set"), "The commonest reason: the file is missing"),
        (("dicom", "-o", "set", "--key", "set/key"), "apart from the images"),
        (("--from-archive", "-o", "set", "--data-dir", "none"), "no Lungprint system"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_text("file,patient\n1.png,P1\n")
    Path("manifest.csv").write_text("file,patient\n1.png,P1\n")
    film(Path("dicom") / "1.dcm", "P1", 1)
    if said.startswith("whose"):
        arguments = ("manifest.csv", "-o", ".", "--overwrite")
    assert said in str(run("make", *arguments).exception)
    assert not Path("set/manifest.csv").exists()


def test_a_manifest_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("mine")
    film(tmp_path / "in" / "1.dcm", "P1", 1)
    assert "--overwrite" in str(run("make", tmp_path / "in", "-o", tmp_path).exception)
    assert (tmp_path / "manifest.csv").read_text() == "mine"


def save(path: Path, files: NDArray[Any], embedding: NDArray[np.float32]) -> None:
    """What `lungprint encode` writes, as far as it is read here."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"file": files, "embedding": embedding}.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Ten patients with three images each, all in the split train."""
    lines = []
    for number in range(30):
        cv2.imwrite(str(tmp_path / f"{number}.png"), noise(number))
        lines.append(f"{number}.png,ward,P{number // 3},train,,PA\n")
    (tmp_path / "manifest.csv").write_text("file,dataset,patient,split,finding,view\n" + "".join(lines))
    return tmp_path / "manifest.csv"


def test_pairs_are_written_the_same_each_time(manifest: Path) -> None:
    output = manifest.parent / "pairs.csv"
    done = run("pairs", manifest, "-o", output, "--seed", "3")
    assert done.exit_code == 0, done.output
    assert "120 pairs, 60 of one patient, 30 hard ones of two" in done.stdout
    first = output.read_bytes()
    run("pairs", manifest, "-o", output, "--seed", "3")
    assert output.read_bytes() == first
    run("pairs", manifest, "-o", output, "--seed", "4")
    assert output.read_bytes() != first
    assert len(read_pairs(output, read_manifest(manifest))) == 120


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_embeddings_choose_the_hard_negatives(manifest: Path, suffix: str) -> None:
    rows = read_manifest(manifest)
    embedding = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    embedding[::3], embedding[1::3], embedding[2::3] = (np.roll(embedding[:10], 1, 0) for _ in range(3))
    path = manifest.parent / f"embeddings{suffix}"
    if suffix == ".npy":
        np.save(path, embedding)
    else:
        order = np.random.default_rng(1).permutation(30)
        save(path, np.array([rows[i].file for i in order]), embedding[order])
    output = manifest.parent / "pairs.csv"
    done = run("pairs", manifest, "-o", output, "--hard-from", path)
    assert done.exit_code == 0, done.output + repr(done.exception)
    pairs = read_pairs(output, rows)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    similarity = np.einsum("ij,ij->i", unit[pairs.first], unit[pairs.second])
    negative = ~pairs.same
    assert pairs.hard.sum() == 30
    assert similarity[pairs.hard].mean() > similarity[negative & ~pairs.hard].mean() + 0.1


def test_weights_choose_the_hard_negatives(manifest: Path) -> None:
    output = manifest.parent / "pairs.csv"
    done = run("pairs", manifest, "-o", output, "--hard-from", DEFAULT_NAME, "--cache", manifest.parent / "cache")
    if done.exception is not None:
        raise done.exception
    assert read_pairs(output, read_manifest(manifest)).hard.sum() == 30


def test_embeddings_of_something_else_are_refused(manifest: Path) -> None:
    np.save(manifest.parent / "short.npy", np.ones((3, 8), np.float32))
    save(manifest.parent / "other.npz", np.array(["elsewhere.png"]), np.ones((1, 8), np.float32))
    (manifest.parent / "torn.npz").write_bytes((manifest.parent / "other.npz").read_bytes()[:100])
    for name, said in (("short.npy", "3 embeddings"), ("other.npz", r"lacks '0.png'"), ("torn.npz", "cannot be read")):
        done = run("pairs", manifest, "-o", manifest.parent / "p.csv", "--hard-from", manifest.parent / name)
        assert said in str(done.exception)


def test_numbers_that_cannot_be_taken_for_one_person_are_in_no_pair(manifest: Path) -> None:
    """The embeddings of the others are still those at their places in the manifest."""
    manifest.write_text(manifest.read_text().replace(",P1,", ",kermany:IM-0001,"))
    embedding = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    embedding[::3], embedding[1::3], embedding[2::3] = (np.roll(embedding[:10], 1, 0) for _ in range(3))
    np.save(manifest.parent / "embeddings.npy", embedding)
    output = manifest.parent / "pairs.csv"
    done = run("pairs", manifest, "-o", output, "--hard-from", manifest.parent / "embeddings.npy")
    assert "108 pairs, 54 of one patient" in done.stdout, repr(done.exception)
    pairs = read_pairs(output, read_manifest(manifest))
    assert not {3, 4, 5} & {*pairs.first.tolist(), *pairs.second.tolist()}
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    similarity = np.einsum("ij,ij->i", unit[pairs.first], unit[pairs.second])
    assert similarity[pairs.hard].mean() > similarity[~pairs.same & ~pairs.hard].mean() + 0.1
