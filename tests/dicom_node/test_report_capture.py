"""The picture of both images side by side: valid, in the image's study, without a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_node.report_capture import LINE, SIDE, compose, side_by_side
from tests.peers import dciodvfy
from tests.reporting import subject

LEFT = np.full((200, 100), 80, np.uint8)
RIGHT = np.full((100, 200), 160, np.uint8)


def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    side_by_side(subject(tmp_path), LEFT, RIGHT).save_as(tmp_path / "capture.dcm", enforce_file_format=True)
    assert dciodvfy(tmp_path / "capture.dcm") == []


def test_each_image_keeps_its_shape_on_its_side(tmp_path: Path) -> None:
    picture = compose(subject(tmp_path), LEFT, RIGHT)
    assert picture.shape == (SIDE + 2 * LINE, 2 * SIDE)
    shown = picture[2 * LINE :]
    tall, wide = shown[:, :SIDE] == 80, shown[:, SIDE:] == 160
    rows, columns = np.flatnonzero(tall.any(1)), np.flatnonzero(tall.any(0))
    assert len(rows) == pytest.approx(2 * len(columns), abs=2) and len(rows) == pytest.approx(SIDE, abs=16)
    rows, columns = np.flatnonzero(wide.any(1)), np.flatnonzero(wide.any(0))
    assert len(columns) == pytest.approx(2 * len(rows), abs=2) and len(columns) == pytest.approx(SIDE, abs=16)


def test_there_are_captions_above_both(tmp_path: Path) -> None:
    picture = compose(subject(tmp_path), LEFT, RIGHT)
    assert picture[:LINE].max() == picture[LINE : 2 * LINE, :SIDE].max() == picture[LINE : 2 * LINE, SIDE:].max() == 255


def test_the_caption_says_what_was_done_to_an_image(tmp_path: Path) -> None:
    plain, said = (compose(subject(tmp_path), LEFT, RIGHT, done) for done in (("", ""), ("", "turned by 180°")))
    changed = np.flatnonzero((plain != said).any(axis=0))
    assert changed.min() > SIDE and (plain != said).any(axis=1).nonzero()[0].max() < 2 * LINE


def test_the_header_says_what_was_done_to_an_image(tmp_path: Path) -> None:
    made = side_by_side(subject(tmp_path), LEFT, RIGHT, ("", "turned by 180° and inverted"))
    assert str(made.DerivationDescription).endswith("; the right one turned by 180 degrees and inverted")
    made.save_as(tmp_path / "capture.dcm", enforce_file_format=True)
    assert dciodvfy(tmp_path / "capture.dcm") == []


@pytest.mark.parametrize("side", [0, 1])
def test_no_caption_runs_into_the_other_one(tmp_path: Path, side: int) -> None:
    longest = "turned by 90° to the right and inverted"
    said = compose(subject(tmp_path), LEFT, RIGHT, (longest, "") if side == 0 else ("", longest))
    captions = said[LINE : 2 * LINE]
    assert not captions[:, SIDE - 8 : SIDE + 8].any() and not captions[:, -8:].any()


def test_it_names_both_sources_and_no_other_patient(tmp_path: Path) -> None:
    about = subject(tmp_path)
    capture = side_by_side(about, LEFT, RIGHT)
    assert about.other is not None
    assert [source.ReferencedSOPInstanceUID for source in capture.SourceImageSequence] == [
        about.image.SOPInstanceUID,
        about.other.SOPInstanceUID,
    ]
    assert (capture.StudyInstanceUID, capture.PatientID) == (about.image.StudyInstanceUID, "P-OWN")
    assert capture.BurnedInAnnotation == "NO"
    capture.save_as(tmp_path / "capture.dcm", enforce_file_format=True)
    content = (tmp_path / "capture.dcm").read_bytes()
    assert not any(word in content for word in (b"P-OTHER", b"Secret", b"Sarah"))


@pytest.mark.parametrize(("marks", "said"), [(("YES", "NO"), "YES"), (("NO", ""), None)])
def test_writing_in_the_images_is_neither_denied_nor_forgotten(
    marks: tuple[str, str], said: str | None, tmp_path: Path
) -> None:
    about = subject(tmp_path)
    assert about.other is not None
    about.image.BurnedInAnnotation, about.other.BurnedInAnnotation = marks
    assert side_by_side(about, LEFT, RIGHT).get("BurnedInAnnotation") == said
