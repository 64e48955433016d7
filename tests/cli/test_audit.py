"""`lungprint audit` finds what was misfiled before, goes on after a kill, and says the same twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archive.database import Database
from archive.links import Author, deny
from archive.models import Alert, Instance, Patient
from archive.review import dispose
from archive.states import AlertKind, AlertState, ImageState, Role
from cli.audit import command
from cli.auditing import run
from config.paths import DataDir
from retrieval.audit import pairs
from tests.archive.filing import enlist
from tests.people import NETWORK, Crowd

PERSONS, IMAGES = 40, 3


@pytest.fixture(autouse=True)
def crowd_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "network_at_work", lambda settings: NETWORK)


@pytest.fixture
def archive(database: Database) -> dict[str, int]:
    """A well-filed crowd, one image of person 7 under P9, a second record of person 5, and an exposure filed again."""
    crowd = Crowd(spread=0.2)
    with database.write() as session:
        for person in range(1, PERSONS + 1):
            for _ in range(IMAGES):
                crowd.take(session, person, state=ImageState.MATCHED)
        wrong = crowd.take(session, 7, label="P9", state=ImageState.MATCHED)
        second = crowd.take(session, 5, label="AB-5", state=ImageState.MATCHED)
        first = crowd.take(session, 11, state=ImageState.MATCHED, pixels="same")
        again = crowd.take(session, 11, label="P12", state=ImageState.MATCHED, pixels="same")
        return {"wrong": wrong.id, "second": second.id, "first": first.id, "again": again.id}


def audit(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)], catch_exceptions=False)


def found(folder: DataDir, *arguments: str) -> dict[str, Any]:
    done = audit(folder, "--json", *arguments)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_what_came_before_is_found_and_raised_as_alerts_of_its_own_kind(
    folder: DataDir, database: Database, archive: dict[str, int]
) -> None:
    answer = found(folder)
    assert (answer["images"], answer["studies"], answer["continued"]) == (124, 124, False)
    by_kind = {row["kind"]: row for row in answer["findings"]}
    assert len(answer["findings"]) == len(by_kind) == 3
    wrong = by_kind["audit_wrong_patient"]
    assert (wrong["patient_id"], wrong["other_patient_id"], wrong["state"]) == ("P9", "P7", "open")
    assert (wrong["own_images"], wrong["other_images"]) == (3, 3)
    assert wrong["own_log_lr"] < 0 < wrong["other_log_lr"]
    record = by_kind["audit_duplicate_record"]
    assert {record["patient_id"], record["other_patient_id"]} == {"P5", "AB-5"}
    twin = by_kind["audit_duplicate_image"]
    assert (twin["patient_id"], twin["other_patient_id"], twin["probability"]) == ("P12", "P11", 1.0)
    with database.read() as session:
        alerts = {alert.kind: alert for alert in session.query(Alert)}
        assert alerts[AlertKind.AUDIT_WRONG_PATIENT].instance_pk == archive["wrong"]
        assert alerts[AlertKind.AUDIT_DUPLICATE_IMAGE].instance_pk == archive["again"]
        assert alerts[AlertKind.AUDIT_DUPLICATE_IMAGE].other_instance_pk == archive["first"]
        assert alerts[AlertKind.AUDIT_WRONG_PATIENT].evidence["gallery_images"] == 124


def test_the_same_audit_again_gives_the_same(
    folder: DataDir, database: Database, archive: dict[str, int], tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("one.csv", "two.csv")]
    answers = [found(folder, "--csv", str(path)) for path in files]
    assert answers[0] == answers[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_mode & 0o077 == 0
    with files[0].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["kind"] for row in rows] == [row["kind"] for row in answers[0]["findings"]]
    with database.read() as session:
        assert session.query(Alert).count() == 3


def test_without_alerts_it_only_reports(folder: DataDir, database: Database, archive: dict[str, int]) -> None:
    answer = found(folder, "--no-alerts")
    assert {row["alert"] for row in answer["findings"]} == {None}
    with database.read() as session:
        assert session.query(Alert).count() == 0


def born(database: Database, **days: str) -> None:
    """Give patients birth dates and the sex F."""
    with database.write() as session:
        for patient in session.query(Patient).filter(Patient.patient_id.in_(days)):
            patient.birth_date, patient.sex = days[patient.patient_id], "F"


def record_of(answer: dict[str, Any]) -> float:
    """How probable the second record is by an audit; 0 if it does not report it."""
    by_kind = {row["kind"]: float(row["probability"]) for row in answer["findings"]}
    return by_kind.get("audit_duplicate_record", 0.0)


def test_birth_dates_speak_for_and_against_a_second_record(
    folder: DataDir, database: Database, archive: dict[str, int]
) -> None:
    with database.write() as session:
        Crowd(spread=0.2, day=2).take(session, 5, label="AB-5", state=ImageState.MATCHED)
    unknown = record_of(found(folder, "--no-alerts"))
    born(database, P5="19510203", **{"AB-5": "19510203"})
    agreeing = record_of(found(folder, "--no-alerts"))
    born(database, **{"AB-5": "19801117"})
    differing = record_of(found(folder, "--no-alerts"))
    assert agreeing > unknown > differing


def test_two_records_of_one_birth_date_are_compared_however_little_alike(
    folder: DataDir, database: Database, archive: dict[str, int]
) -> None:
    before = found(folder, "--no-alerts")
    born(database, P1="19510203", P2="19510203")
    after = found(folder, "--no-alerts")
    assert after["pairs"] == before["pairs"] + IMAGES * IMAGES
    assert after["findings"] == before["findings"]


def test_what_is_less_probable_than_the_option_asks_for_is_no_finding(
    folder: DataDir, database: Database, archive: dict[str, int]
) -> None:
    kinds = {row["kind"]: row["probability"] for row in found(folder, "--no-alerts")["findings"]}
    least = kinds["audit_duplicate_record"]
    (folder.root / "lungprint.toml").write_text(f"[audit]\nmin_probability = {least + 1e-9:.12f}\n", encoding="utf-8")
    again = {row["kind"] for row in found(folder, "--no-alerts")["findings"]}
    assert again == {kind for kind, probability in kinds.items() if probability > least}


def test_people_get_a_table_and_a_summary(folder: DataDir, archive: dict[str, int]) -> None:
    done = audit(folder)
    assert "wrong_patient" in done.stdout
    assert "124 images of 41 patients in 124 studies compared with each other: 3 findings" in done.stdout


def test_an_archive_too_large_for_its_calibration_is_told(
    folder: DataDir, archive: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "least_ratio", lambda *_: None)
    done = audit(folder, "--no-alerts")
    assert "no likeness of two images is strong enough" in done.stdout
    assert "duplicate_image" in done.stdout


def test_an_empty_archive_has_no_findings(folder: DataDir, database: Database) -> None:
    assert found(folder)["findings"] == []


def test_a_second_audit_at_the_same_time_is_refused(folder: DataDir, archive: dict[str, int]) -> None:
    from cli.auditing.progress import only_one
    from cli.outcome import InputNotUsable

    with only_one(folder.audit), pytest.raises(InputNotUsable, match="running already"):
        audit(folder)


KILLED = """
import os, signal, sys
from cli.audit import command
from cli.auditing import run
from retrieval.audit import pairs
from tests.archive.filing import enlist
from tests.people import NETWORK
from cli.auditing import progress
run.network_at_work = lambda settings: NETWORK
pairs.ROWS = 16
block, kept = pairs.PairScan.block, progress.Progress._write
def write(self, name, content):
    if name == progress._name(3):
        (self._folder / ("." + name)).write_bytes(content[:5])
        os.kill(os.getpid(), signal.SIGKILL)
    kept(self, name, content)
progress.Progress._write = write
command(["--data-dir", sys.argv[1]])
"""


def test_a_killed_audit_goes_on_where_it_was_with_the_images_it_began_with(
    folder: DataDir, database: Database, archive: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder.root)], cwd=Path(__file__).parents[2], env=os.environ, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with database.write() as session:
        assert session.query(Alert).count() == 0
        Crowd(spread=0.2, day=1).take(session, 7, label="P3", state=ImageState.MATCHED)
    monkeypatch.setattr(pairs, "ROWS", 16)
    computed: list[int] = []
    block = pairs.PairScan.block

    def counted(scan: pairs.PairScan, number: int) -> pairs.Pairs:
        computed.append(number)
        return block(scan, number)

    monkeypatch.setattr(pairs.PairScan, "block", counted)
    answer = found(folder)
    assert (answer["continued"], answer["images"], computed) == (True, 124, list(range(3, 8)))
    assert len(answer["findings"]) == 3
    assert list(folder.audit.iterdir()) == []
    later = found(folder)
    assert (later["images"], len(later["findings"])) == (125, 4)


def test_progress_of_another_archive_is_not_used(
    folder: DataDir, database: Database, archive: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "ROWS", 16)
    block = pairs.PairScan.block

    def broken(scan: pairs.PairScan, number: int) -> pairs.Pairs:
        if number == 5:
            raise KeyboardInterrupt
        return block(scan, number)

    with monkeypatch.context() as patch:
        patch.setattr(pairs.PairScan, "block", broken)
        audit(folder)
    assert len(list(folder.audit.iterdir())) == 6
    with database.write() as session:
        session.get_one(Instance, archive["wrong"]).state = ImageState.FAILED
    answer = found(folder)
    assert (answer["continued"], answer["images"]) == (False, 123)


def test_what_people_said_is_not_said_again(folder: DataDir, database: Database, archive: dict[str, int]) -> None:
    found(folder)
    with database.write() as session:
        user, author = enlist(session, Role.QA), Author("qa")
        for alert in session.query(Alert).order_by(Alert.id):
            if alert.kind is AlertKind.AUDIT_DUPLICATE_RECORD:
                dispose(session, alert.id, user, AlertState.NOT_AN_ERROR)
                assert deny(session, alert, author)
            if alert.kind is AlertKind.AUDIT_WRONG_PATIENT:
                dispose(session, alert.id, user, AlertState.CONFIRMED)
    again = {row["kind"]: row["state"] for row in found(folder)["findings"]}
    assert again == {"audit_wrong_patient": "confirmed", "audit_duplicate_image": "open"}
