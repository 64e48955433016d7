"""`lungprint match` on synthetic films of two persons."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli.main import lungprint
from cli.matching.sheet import write_sheet
from cli.matching.threshold import from_calibration
from retrieval.comparison import Comparer
from retrieval.normalisation import Levels
from tests.calibrations import straight
from tests.cli.conftest import Films

COMPARER = Comparer(straight("m", 64, -2.0, 8.0, -2.0, -4.0, 5.0), None)
ORDINARY = Levels(np.array([0.0]), np.array([1.0]))


def match(tmp_path: Path, *arguments: str) -> tuple[Result, list[dict[str, str]]]:
    output = tmp_path / "pairs.csv"
    result = CliRunner().invoke(lungprint, ["match", *arguments, "-o", str(output), "--data-dir", str(tmp_path)])
    with output.open(newline="") as stream:
        return result, list(csv.DictReader(stream))


@pytest.fixture
def ward(films: Films, tmp_path: Path) -> Path:
    """A folder with one film of each person."""
    folder = tmp_path / "ward"
    folder.mkdir()
    for name in ("a2.dcm", "b1.dcm"):
        shutil.copy(films[name], folder / name)
    return folder


def test_the_images_of_one_person_are_paired_and_the_unsuitable_are_refused(
    films: Films, ward: Path, tmp_path: Path
) -> None:
    refused = tmp_path / "refused.csv"
    result, pairs = match(tmp_path, str(films.folder), str(ward), "--threshold", "-1", "--refused", str(refused))
    assert result.exit_code == 1, result.output
    assert len(pairs) == 4 * 2
    best = {pair["a"]: pair["b"] for pair in reversed(pairs)}
    assert best == {"a1.dcm": "a2.dcm", "a1.png": "a2.dcm", "a2.dcm": "a2.dcm", "b1.dcm": "b1.dcm"}
    assert [float(pair["probability"]) for pair in pairs] == sorted(
        (float(pair["probability"]) for pair in pairs), reverse=True
    )
    with refused.open(newline="") as stream:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    assert set(reasons) == {"broken.png", "lateral.dcm"}
    assert "no readable picture" in reasons["broken.png"]
    assert "lateral" in reasons["lateral.dcm"].lower()
    assert "left out: lateral.dcm" in result.output


def test_a_collection_with_itself_gives_each_pair_once_and_none_with_itself(ward: Path, tmp_path: Path) -> None:
    result, pairs = match(tmp_path, str(ward), str(ward), "--threshold", "-1")
    assert result.exit_code == 0, result.output
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("a2.dcm", "b1.dcm")]


def test_a_file_in_both_collections_is_no_pair(ward: Path, tmp_path: Path) -> None:
    _, pairs = match(tmp_path, str(ward), str(ward / "a2.dcm"), "--threshold", "-1")
    assert [pair["a"] for pair in pairs] == ["b1.dcm"]


def test_one_partner_for_each(films: Films, ward: Path, tmp_path: Path) -> None:
    _, pairs = match(tmp_path, films["manifest.csv"], str(ward), "--threshold", "-1", "--top", "1")
    assert sorted((pair["a"], pair["b"]) for pair in pairs) == [("a1.png", "a2.dcm"), ("b1.dcm", "b1.dcm")]


def test_the_default_threshold_is_the_calibration_s(films: Films, ward: Path, tmp_path: Path) -> None:
    result, pairs = match(tmp_path, films["manifest.csv"], str(ward), "--json")
    told = json.loads(result.stdout)
    assert told["pairs_compared"] == 4
    assert told["least_probability"] == pytest.approx(4 / 5)
    assert told["false_pairs_expected"] == pytest.approx(1.0)
    assert told["pairs_found"] == len(pairs) >= 1
    assert all(float(pair["probability"]) >= 0.8 and float(pair["false_pairs"]) <= 1.0 for pair in pairs)


def test_the_sheet_shows_both_images_of_the_best_pairs(films: Films, ward: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "pairs.html"
    arguments = ("--threshold", "-1", "--sheet", str(sheet), "--sheet-pairs", "3")
    match(tmp_path, films["manifest.csv"], str(ward), *arguments)
    page = sheet.read_text()
    assert page.count("data:image/jpeg;base64,/9j/") == 6
    assert "a1.png" in page and "b1.dcm" in page
    assert page.count("<section>") == 3


def test_an_image_that_is_stored_turned_is_said_to_be_and_shown_upright(films: Films, tmp_path: Path) -> None:
    place = tmp_path / "turned"
    place.mkdir()
    with Image.open(films["a1.png"]) as picture:
        picture.transpose(Image.Transpose.ROTATE_180).save(place / "turned.png")
    sheet = tmp_path / "pairs.html"
    _, pairs = match(tmp_path, films["a1.png"], str(place), "--threshold", "-1", "--sheet", str(sheet))
    assert [(pair["righting_a"], pair["righting_b"]) for pair in pairs] == [("", "turned by 180°")]
    page = sheet.read_text()
    assert page.count("turned by 180° before it was compared") == 1
    left, right = (np.asarray(one, dtype=float) for one in shown_on(page))
    assert np.abs(left - right).mean() < 3 < 20 < np.abs(left - right[::-1, ::-1]).mean()


def shown_on(page: str) -> list[Image.Image]:
    """The pictures of a sheet."""
    found = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def test_names_cannot_break_the_sheet(films: Films, tmp_path: Path) -> None:
    from cli.matching.pair import Pair
    from cli.sources import Source
    from dicom_node.pixels import Limits

    evil = Source("<script>x</script>", Path(films["a1.png"]))
    write_sheet([Pair(evil, evil, ("", ""), 0.5, 3, 0.5, 1.0)], Limits(max_pixels=10**8), tmp_path / "s.html")
    assert "<script>" not in (tmp_path / "s.html").read_text()


def test_collections_without_a_usable_image_are_refused(films: Films, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        lungprint,
        ["match", films["broken.png"], films["a1.png"], "-o", str(tmp_path / "p.csv"), "--data-dir", str(tmp_path)],
    )
    assert "No image of" in str(result.exception)
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(("pairs", "wanted"), [(1, 1.0), (10, 1.0), (100, 1.0), (100, 20.0)])
def test_the_threshold_lets_as_many_false_pairs_be_expected_as_were_asked_for(pairs: int, wanted: float) -> None:
    found = from_calibration(COMPARER, ORDINARY, pairs, wanted)
    assert found.false_pairs == pytest.approx(min(wanted, pairs))
    assert found.log_ratio == pytest.approx(max(math.log(pairs / wanted), 0.0))
    # 8 c - 2 at equal codes.
    assert found.cosine == pytest.approx((found.log_ratio + 2.0) / 8.0, abs=1e-6)


def test_no_threshold_asks_for_more_than_the_calibration_can_say() -> None:
    found = from_calibration(COMPARER, ORDINARY, 10**9, 1.0)
    assert found.log_ratio == 5.0
    assert found.false_pairs == pytest.approx(10**9 * np.exp(-5.0))
