"""The structured report: valid, unverified, coded, in the image's study, and silent about the other patient."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from highdicom.sr import ComprehensiveSR, srread
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from archive.states import AlertKind
from dicom_node.report import structured_report
from dicom_node.report_subject import Label
from tests.peers import dciodvfy
from tests.reporting import OTHER, header, subject

AE_TITLE = "LUNGPRINT"


def stored(report: Dataset, folder: Path) -> Path:
    path = folder / "report.dcm"
    report.save_as(path, enforce_file_format=True)
    return path


def items(node: Dataset) -> list[Dataset]:
    """All content items below a node."""
    below = list(node.get("ContentSequence", []))
    return below + [item for child in below for item in items(child)]


def named(report: Dataset, meaning: str) -> list[Dataset]:
    return [item for item in items(report) if item.ConceptNameCodeSequence[0].CodeMeaning == meaning]


@pytest.mark.parametrize("kind", list(AlertKind))
def test_dciodvfy_finds_no_error(kind: AlertKind, tmp_path: Path) -> None:
    assert dciodvfy(stored(structured_report(subject(tmp_path, kind=kind), AE_TITLE), tmp_path)) == []


def test_without_another_image_it_is_valid_too(tmp_path: Path) -> None:
    alone = subject(tmp_path, kind=AlertKind.DUPLICATE_IMAGE, other=None, same_person=None)
    report = structured_report(alone, AE_TITLE)
    assert dciodvfy(stored(report, tmp_path)) == []
    assert len(named(report, "Probability that both images show one person")) == 0


def test_a_reader_of_template_1500_finds_kind_probability_and_both_images(tmp_path: Path) -> None:
    about = subject(tmp_path)
    read = srread(stored(structured_report(about, AE_TITLE), tmp_path))
    assert isinstance(read, ComprehensiveSR)
    [group] = read.content.get_image_measurement_groups()
    values = {one.name.meaning: (one.value, one.unit.value) for one in group.get_measurements()}
    assert values == {
        "Probability": (62.34, "%"),
        "Probability that both images show one person": (98.76, "%"),
    }
    [kind] = group.get_qualitative_evaluations()
    assert (kind.value.value, kind.value.scheme_designator) == ("2001", "99LUNGPRINT")
    assert {image.referenced_sop_instance_uid for image in group.source_images} == {
        about.image.SOPInstanceUID,
        about.other.SOPInstanceUID if about.other is not None else "",
    }


def test_it_is_unverified_and_preliminary(tmp_path: Path) -> None:
    report = structured_report(subject(tmp_path), AE_TITLE)
    assert report.SOPClassUID == ComprehensiveSRStorage
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    [comment] = named(report, "Comment")
    assert "Nobody has checked this yet. Not for diagnosis." in comment.TextValue


def test_it_lies_in_the_study_and_under_the_patient_of_the_image(tmp_path: Path) -> None:
    about = subject(tmp_path)
    report = dcmread(stored(structured_report(about, AE_TITLE), tmp_path))
    for keyword in ("StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "PatientID"):
        assert report[keyword].value == about.image[keyword].value
    assert (report.PatientName, report.IssuerOfPatientID) == ("Müller^Jürgen", "HOSPITAL")
    assert report.SeriesInstanceUID != about.image.SeriesInstanceUID


def test_both_studies_are_listed_as_evidence(tmp_path: Path) -> None:
    about = subject(tmp_path)
    report = structured_report(about, AE_TITLE)
    [own] = report.CurrentRequestedProcedureEvidenceSequence
    [other] = report.PertinentOtherEvidenceSequence
    assert about.other is not None
    assert (own.StudyInstanceUID, other.StudyInstanceUID) == (
        about.image.StudyInstanceUID,
        about.other.StudyInstanceUID,
    )


def test_the_other_patient_is_not_named(tmp_path: Path) -> None:
    content = stored(structured_report(subject(tmp_path), AE_TITLE), tmp_path).read_bytes()
    assert b"P-OWN" in content
    assert not any(word in content for word in (b"P-OTHER", b"Secret", b"Sarah", b"19800228"))


def test_every_attempt_makes_the_same_object_and_every_alert_another(tmp_path: Path) -> None:
    about = subject(tmp_path)
    first, again = (structured_report(about, AE_TITLE) for _ in range(2))
    another = structured_report(dataclasses.replace(about, uuid="4b3f2a50-0000-4000-8000-000000000002"), AE_TITLE)
    assert first.SOPInstanceUID == again.SOPInstanceUID != another.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID != another.SeriesInstanceUID


def test_a_patient_id_that_was_corrected_since_is_the_report_s(tmp_path: Path) -> None:
    corrected = Label("P-NEW", "HOSPITAL", "Mueller^Juergen", "19700130", "M")
    report = structured_report(subject(tmp_path, label=corrected), AE_TITLE)
    assert (report.PatientID, report.PatientName, report.PatientBirthDate) == ("P-NEW", "Mueller^Juergen", "19700130")


def test_a_name_that_is_none_is_neither_changed_nor_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = header(tmp_path, 3, dataclasses.replace(OTHER, name="no name at all, just text"))
    label = Label("P-OTHER", "HOSPITAL", "", "", "")
    report = structured_report(subject(tmp_path, image=odd, label=label), AE_TITLE)
    assert report.PatientName == "no name at all, just text"
    assert "no name at all" not in caplog.text
