from __future__ import annotations

import dataclasses
import threading

from sqlalchemy import func, select

from archive.database import Database
from archive.intake import Header, Outcome, StoredFile, note_quarantined, register
from archive.models import Alert, Instance, Patient, Quarantined, Series, Study, Variant, now
from archive.progress import due
from archive.states import AlertState, ImageState
from config.settings import Settings

HEADER = Header(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
    sop_instance_uid="1.1",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    study_instance_uid="1.2",
    series_instance_uid="1.3",
    patient_id="P",
)


def header(instance: str, **changes: str) -> Header:
    return dataclasses.replace(HEADER, sop_instance_uid=instance, **changes)


def file(letter: str) -> StoredFile:
    return StoredFile(letter * 64, 100, "PACS")


def test_a_new_image_is_received_and_left_to_the_direct_way_for_a_moment(
    database: Database, settings: Settings
) -> None:
    entered = register(database, settings, HEADER, file("a"))
    assert entered.outcome is Outcome.NEW
    with database.read() as session:
        row = session.get_one(Instance, entered.instance_id)
        assert (row.state, row.file_digest, row.size, row.calling_ae) == (ImageState.RECEIVED, "a" * 64, 100, "PACS")
        assert row.due_at > now()
        assert due(session, ImageState.RECEIVED, 10) == []


def test_images_of_one_series_share_its_rows(database: Database, settings: Settings) -> None:
    for number in range(4):
        register(database, settings, header(f"1.{number}"), file("abcd"[number]))
    with database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table)) for table in (Patient, Study, Series, Instance)
        ]
    assert counts == [1, 1, 1, 4]


def test_one_study_uid_under_two_patients_is_two_studies(database: Database, settings: Settings) -> None:
    register(database, settings, header("1.1"), file("a"))
    register(database, settings, header("1.2", patient_id="Q"), file("b"))
    register(database, settings, header("1.3", issuer="ELSEWHERE"), file("c"))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Study)) == 3
        assert session.scalar(select(func.count()).select_from(Patient)) == 3


def test_the_same_again_is_the_same_row(database: Database, settings: Settings) -> None:
    first = register(database, settings, HEADER, file("a"))
    again = register(database, settings, HEADER, file("a"))
    assert (again.instance_id, again.outcome) == (first.instance_id, Outcome.SAME)


def test_each_variant_is_noted_and_alerted_once(database: Database, settings: Settings) -> None:
    first = register(database, settings, HEADER, file("a"))
    outcomes = [register(database, settings, HEADER, file(letter)) for letter in "bbcab"]
    assert [entry.outcome for entry in outcomes] == [
        Outcome.VARIANT,
        Outcome.SAME,
        Outcome.VARIANT,
        Outcome.SAME,
        Outcome.SAME,
    ]
    assert {entry.instance_id for entry in outcomes} == {first.instance_id}
    with database.read() as session:
        assert session.scalars(select(Variant.file_digest).order_by(Variant.id)).all() == ["b" * 64, "c" * 64]
        assert session.scalars(select(Alert.state)).all() == [AlertState.OPEN, AlertState.OPEN]
        assert session.scalars(select(Instance.file_digest)).all() == ["a" * 64]


def test_later_headers_fill_gaps_of_a_patient_but_change_nothing(database: Database, settings: Settings) -> None:
    register(database, settings, header("1.1", name="Doe^Jane"), file("a"))
    register(database, settings, header("1.2", name="Roe^Jane", sex="F", study_instance_uid="9"), file("b"))
    with database.read() as session:
        patient = session.scalars(select(Patient)).one()
        assert (patient.name, patient.sex) == ("Doe^Jane", "F")


def test_without_patient_id_a_label_is_its_studys_alone(database: Database, settings: Settings) -> None:
    for number, study in enumerate(["A", "A", "B"]):
        register(
            database,
            settings,
            header(f"1.{number}", patient_id="", issuer="X", study_instance_uid=study),
            file("abc"[number]),
        )
    with database.read() as session:
        owners = session.scalars(select(Instance.patient_pk).order_by(Instance.id)).all()
    assert owners[0] == owners[1] != owners[2]


def test_many_threads_enter_the_same_patient_once(database: Database, settings: Settings) -> None:
    failures: list[BaseException] = []

    def enter(worker: int) -> None:
        try:
            for number in range(5):
                register(database, settings, header(f"1.{worker}.{number}"), file("abcdef"[worker]))
        except Exception as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=enter, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == 30
        assert session.scalar(select(func.count()).select_from(Series)) == 1


def test_a_refused_file_is_noted_once(database: Database) -> None:
    entries = [Quarantined(file_name="x.dcm", status=0xC210, reason="noise") for _ in range(2)]
    assert [note_quarantined(database, entry) for entry in entries] == [True, False]
