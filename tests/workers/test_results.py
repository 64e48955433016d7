"""Results stored in a PACS: DCMTK's storescp, well and unwell, plain and over TLS."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage
from sqlalchemy import select

from archive.alerts import Finding, label_key, raise_alert
from archive.audit import AuditAction
from archive.database import Database
from archive.files import ImageFiles
from archive.intake import StoredFile, register
from archive.models import Alert, AuditEvent, Instance, Notification
from archive.states import AlertKind, Channel, NotificationState
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.header import read_header
from dicom_node.report_capture import LINE, SIDE
from dicom_node.wrap import PatientHeader
from tests.dicom_node.certificates import Authority
from tests.peers import dciodvfy, orthanc, storescp
from tests.ports import free_port
from tests.reporting import OTHER, OWN, radiograph
from workers.delivery import Desk
from workers.maintenance import sweep_outgoing
from workers.notify import notify


def with_pacs(folder: DataDir, port: int, tls: dict[str, Any] | None = None, ae_title: str = "PACS1") -> Settings:
    """Settings with a PACS on a port, over TLS where its options are given, that gets both kinds of results."""
    secure = {"tls": True, "certificate_name": "pacs.example"} if tls else {}
    flags = {
        "dicom": {"peers": [{"ae_title": ae_title, "address": "127.0.0.1", "port": port, **secure}]},
        "results": {"peer": ae_title, "secondary_capture": True},
        "outbox": {"max_attempts": 2, "timeout_seconds": 2.0},
        "tls": tls or {},
    }
    return load_settings(folder.root, environ={}, flags=flags)


def file(database: Database, settings: Settings, folder: DataDir, number: int, patient: PatientHeader) -> int:
    """A radiograph with its preview in the archive."""
    arrived = folder.incoming / f"{number}.dcm"
    radiograph(number, patient).save_as(arrived, enforce_file_format=True)
    header, size = read_header(arrived), arrived.stat().st_size
    digest = hashlib.sha256(arrived.read_bytes()).hexdigest()
    ImageFiles(folder).keep(arrived, digest)
    instance_id = register(database, settings, header, StoredFile(digest, size)).instance_id
    preview = ImageFiles(folder).preview_path(instance_id)
    preview.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(preview), np.full((64, 48), 99, np.uint8))
    return instance_id


@pytest.fixture
def messages(database: Database, folder: DataDir) -> dict[Channel, int]:
    """The ids of the messages about an alert on two radiographs."""
    settings = with_pacs(folder, 1)
    own, other = file(database, settings, folder, 1, OWN), file(database, settings, folder, 2, OTHER)
    with database.write() as session:
        one, two = session.get_one(Instance, own), session.get_one(Instance, other)
        evidence = {"other": {"best_instance": other, "best_probability": 0.9}}
        finding = Finding(
            label_key(own), AlertKind.WRONG_PATIENT, 0.75, own, one.patient_pk, other, two.patient_pk, evidence
        )
        raise_alert(session, settings, finding)
        session.flush()
        return {row.channel: row.id for row in session.scalars(select(Notification))}


def desk(database: Database, folder: DataDir, settings: Settings) -> Desk:
    return Desk(database, settings, folder, lambda number: ImageFiles(folder).preview_path(number).exists())


def row(database: Database, number: int) -> Notification:
    with database.read() as session:
        return session.get_one(Notification, number)


def test_both_results_arrive_and_are_valid(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    assert set(messages) == {Channel.REPORT, Channel.CAPTURE}
    with storescp(tmp_path / "pacs") as port:
        for number in messages.values():
            assert notify(desk(database, folder, with_pacs(folder, port)), number)
    arrived = sorted((tmp_path / "pacs").iterdir())
    assert all(dciodvfy(path) == [] for path in arrived)
    found = [dcmread(path) for path in arrived]
    assert {one.SOPClassUID for one in found} == {ComprehensiveSRStorage, SecondaryCaptureImageStorage}
    assert {one.PatientID for one in found} == {"P-OWN"}
    assert len({one.StudyInstanceUID for one in found}) == 1
    assert list(folder.outgoing.iterdir()) == []


def test_an_image_that_is_stored_turned_is_sent_as_it_was_compared(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    with database.write() as session:
        alert = session.scalars(select(Alert)).one()
        session.get_one(Instance, alert.other_instance_pk).righting = "turned by 90° to the left"
        preview = ImageFiles(folder).preview_path(int(alert.other_instance_pk or 0))
    stored = np.full((40, 64), 90, np.uint8)
    stored[:, 44:] = 200
    cv2.imwrite(str(preview), stored)
    with storescp(tmp_path / "pacs") as port:
        assert notify(desk(database, folder, with_pacs(folder, port)), messages[Channel.CAPTURE])
    (arrived,) = (tmp_path / "pacs").iterdir()
    right = dcmread(arrived).pixel_array[2 * LINE :, SIDE:]
    rows, columns = np.flatnonzero(right.any(axis=1)), np.flatnonzero(right.any(axis=0))
    assert len(rows) == pytest.approx(1.6 * len(columns), rel=0.02)
    # What was on its right is on top.
    assert (
        right[rows[0] + 20 : rows[0] + 40, SIDE // 2].mean()
        > right[rows[-1] - 40 : rows[-1] - 20, SIDE // 2].mean() + 80
    )


def test_what_was_stored_is_in_the_audit_trail(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    with storescp(tmp_path / "pacs") as port:
        notify(desk(database, folder, with_pacs(folder, port)), messages[Channel.REPORT])
    with database.read() as session:
        [event] = session.scalars(select(AuditEvent).where(AuditEvent.action == AuditAction.RESULT_SENT))
        assert (event.object_kind, event.address) == ("alert", "PACS1") and event.patient_pk is not None


@pytest.mark.parametrize(
    ("unwell", "reason"),
    [
        ("--refuse", "rejects associations"),
        ("--abort-during", "did not answer, or ended the association"),
        ("--abort-after", "did not answer, or ended the association"),
        ("--sleep-during 6", "did not answer, or ended the association"),
    ],
)
def test_an_unwell_pacs_is_tried_again_and_then_gets_the_same_object(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path, unwell: str, reason: str
) -> None:
    number = messages[Channel.REPORT]
    began = time.monotonic()
    with storescp(tmp_path / "unwell", *unwell.split()) as port:
        assert not notify(desk(database, folder, with_pacs(folder, port)), number)
    assert time.monotonic() - began < 60
    waiting = row(database, number)
    assert (waiting.state, waiting.attempts) == (NotificationState.PENDING, 1)
    assert reason in waiting.reason
    [kept] = folder.outgoing.iterdir()
    uid, content = dcmread(kept).SOPInstanceUID, kept.read_bytes()
    with storescp(tmp_path / "well") as port:
        assert notify(desk(database, folder, with_pacs(folder, port)), number)
    [arrived] = (tmp_path / "well").iterdir()
    assert dcmread(arrived).SOPInstanceUID == uid
    assert arrived.read_bytes()[-1000:] == content[-1000:]


def test_a_pacs_that_stays_away_makes_a_dead_letter_that_keeps_the_object(
    database: Database, folder: DataDir, messages: dict[Channel, int]
) -> None:
    number, away = messages[Channel.CAPTURE], with_pacs(folder, free_port())
    for _ in range(2):
        assert not notify(desk(database, folder, away), number)
    dead = row(database, number)
    assert dead.state is NotificationState.DEAD and "cannot be reached" in dead.reason
    assert len(list(folder.outgoing.iterdir())) == 1


def test_objects_that_nobody_waits_for_are_swept_away(
    database: Database, folder: DataDir, messages: dict[Channel, int]
) -> None:
    away = with_pacs(folder, free_port())
    for number in messages.values():
        assert not notify(desk(database, folder, away), number)
    assert sweep_outgoing(database, folder) == 0
    with database.write() as session:
        # As a purge of the patient does.
        session.delete(session.get_one(Notification, messages[Channel.REPORT]))
    kept = row(database, messages[Channel.CAPTURE]).uuid
    assert sweep_outgoing(database, folder) == 1
    assert [path.stem for path in folder.outgoing.iterdir()] == [kept]


def test_a_pacs_that_takes_implicit_vr_alone_gets_it_so(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    with storescp(tmp_path / "pacs", "--implicit") as port:
        assert notify(desk(database, folder, with_pacs(folder, port)), messages[Channel.REPORT])
    [arrived] = (tmp_path / "pacs").iterdir()
    assert dciodvfy(arrived) == []


def test_results_go_out_over_tls(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "certificates")
    certificate, key = authority.issue("pacs.example")
    options = ["+tls", str(key), str(certificate), "+cf", str(authority.file), "--null-passwd"]
    with storescp(tmp_path / "pacs", *options) as port:
        secure = with_pacs(folder, port, authority.options("lungprint.example"))
        assert notify(desk(database, folder, secure), messages[Channel.REPORT])
    assert len(list((tmp_path / "pacs").iterdir())) == 1


def test_an_alert_about_one_image_has_no_picture_of_two(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    settings = with_pacs(folder, 1)
    alone = file(database, settings, folder, 3, OTHER)
    with database.write() as session:
        patient_pk = session.get_one(Instance, alone).patient_pk
        alert = raise_alert(
            session, settings, Finding(label_key(alone), AlertKind.PRIOR_MISMATCH, 0.5, alone, patient_pk)
        )
        session.flush()
        mine = {
            found.channel: found.id
            for found in session.scalars(select(Notification).where(Notification.alert_pk == alert.id))
        }
    with storescp(tmp_path / "pacs") as port:
        for number in mine.values():
            assert notify(desk(database, folder, with_pacs(folder, port)), number)
    [arrived] = (tmp_path / "pacs").iterdir()
    assert dcmread(arrived).SOPClassUID == ComprehensiveSRStorage


def test_orthanc_files_the_results_in_the_study_of_the_image(
    database: Database, folder: DataDir, messages: dict[Channel, int], tmp_path: Path
) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        with database.read() as session:
            image = session.scalars(select(Instance)).first()
        assert image is not None
        pacs.ask("/instances", ImageFiles(folder).path(image.file_digest).read_bytes())
        settings = with_pacs(folder, pacs.port, ae_title="ORTHANC")
        for number in messages.values():
            assert notify(desk(database, folder, settings), number)
        [study] = pacs.ask("/studies")
        series = [pacs.ask(f"/series/{number}") for number in pacs.ask(f"/studies/{study}")["Series"]]
    assert {one["MainDicomTags"]["Modality"] for one in series} == {"DX", "SR", "OT"}
