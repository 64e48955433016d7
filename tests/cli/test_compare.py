"""`lungprint compare`: a probability, what speaks for it, and headers without their values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from PIL import Image

from cli.compare import command
from tests.cli.conftest import Films


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def ask(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


def test_an_image_and_itself_are_one_person(films: Films) -> None:
    found = ask(films["a1.dcm"], films["a1.dcm"])
    assert found["probability"] > 0.95
    assert (round(found["cosine"], 3), found["hamming"]) == (1.0, 0)
    assert found["likelihood_ratio"] > 1


def test_the_same_person_is_likelier_than_another(films: Films) -> None:
    same, other = ask(films["a1.dcm"], films["a2.dcm"]), ask(films["a1.dcm"], films["b1.dcm"])
    assert same["probability"] > other["probability"]


def test_headers_are_compared_but_never_shown(films: Films) -> None:
    done = run(films["a1.dcm"], films["b1.dcm"])
    assert ask(films["a1.dcm"], films["b1.dcm"])["headers"]["patient_id"] == "different"
    assert ask(films["a1.dcm"], films["a2.dcm"])["headers"]["patient_id"] == "same"
    assert ask(films["a1.dcm"], films["a2.dcm"])["headers"]["birth_date"] == "missing"
    assert "Secret" not in done.output


def test_pictures_have_no_header_to_compare(films: Films) -> None:
    assert ask(films["a1.png"], films["a1.dcm"])["headers"] == {}


def test_a_lateral_view_gives_an_answer_that_means_nothing_and_says_so(films: Films) -> None:
    done = run(films["a1.dcm"], films["lateral.dcm"])
    assert done.exit_code == 1
    assert "image B" in done.output
    assert "lateral" in done.output


def test_an_image_that_is_stored_upside_down_is_compared_and_said_to_be(films: Films, tmp_path: Path) -> None:
    with Image.open(films["a1.png"]) as picture:
        picture.rotate(180).save(tmp_path / "turned.png")
    done = run(films["a1.png"], str(tmp_path / "turned.png"))
    assert done.exit_code == 0
    assert "one person" in done.output
    assert "image B" in done.output and "turned by 180°" in done.output
    assert ask(films["a1.png"], str(tmp_path / "turned.png"))["righting"] == ["", "turned by 180°"]


def test_a_broken_file_is_said(films: Films) -> None:
    assert "broken.png" in str(run(films["a1.dcm"], films["broken.png"]).exception)
