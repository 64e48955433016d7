"""`lungprint encode`: arrays that other programs can rely on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.encode import command
from tests.cli.conftest import Films


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_a_manifest_gives_its_names_and_unit_vectors(films: Films, tmp_path: Path) -> None:
    done = run(films["manifest.csv"], "-o", str(tmp_path / "codes.npz"), "--json")
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "codes.npz") as found:
        arrays = dict(found)
    assert arrays["file"].tolist() == ["a1.png", "b1.dcm"]
    assert (arrays["embedding"].dtype, arrays["code"].dtype, arrays["suitable"].dtype) == (
        np.float32,
        np.uint8,
        np.bool_,
    )
    assert len(arrays["embedding"]) == len(arrays["code"]) == len(arrays["suitable"]) == 2
    np.testing.assert_allclose(np.linalg.norm(arrays["embedding"], axis=1), 1.0, atol=1e-5)
    assert json.loads(done.stdout)["model_id"] == str(arrays["model_id"])


def test_a_folder_sets_apart_what_is_lateral_and_what_is_unreadable(films: Films, tmp_path: Path) -> None:
    done = run(str(films.folder), "-o", str(tmp_path / "codes.npz"))
    assert done.exit_code == 1
    assert "broken.png is no readable picture" in done.stderr
    with np.load(tmp_path / "codes.npz") as found:
        assert found["file"].tolist() == ["a1.dcm", "a1.png", "a2.dcm", "b1.dcm", "lateral.dcm"]
        assert found["unreadable"].tolist() == ["broken.png"]
        assert not found["suitable"][4]
        assert "lateral" in found["reason"][4]
        assert found["righting"].tolist() == [""] * 5
        assert len(found["embedding"]) == 5


def test_a_picture_and_its_dicom_file_have_nearly_one_code(films: Films, tmp_path: Path) -> None:
    run(str(films.folder), "-o", str(tmp_path / "codes.npz"))
    with np.load(tmp_path / "codes.npz") as found:
        cosine = found["embedding"] @ found["embedding"][0]
    assert cosine[1] > 0.99


def test_nothing_readable_is_an_error(films: Films, tmp_path: Path) -> None:
    done = run(films["broken.png"], "-o", str(tmp_path / "codes.npz"))
    assert "could be read" in str(done.exception)
    assert not (tmp_path / "codes.npz").exists()


@pytest.mark.parametrize("place", ["nowhere/codes.npz", "."])
def test_an_output_that_cannot_be_written_is_said(films: Films, tmp_path: Path, place: str) -> None:
    assert run(films["a1.png"], "-o", str(tmp_path / place)).exit_code != 0
