"""Messages about patients applied: labels joined, alerts closed or judged anew, names corrected, all of it once."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.audit import AuditAction
from archive.database import Database
from archive.links import Author, persons_labels, unjoin
from archive.models import Alert, AuditEvent, Hl7Message, Instance, Patient
from archive.states import AlertKind, AlertState
from dicom_node.hl7_message import Identifier, MessageRefused, decoded, parsed, read_adt
from dicom_node.hl7_patients import labels, take
from tests.archive.filing import file_alert, file_image, file_patient
from tests.dicom_node import adt

LOCAL = "HOSP"


def send(database: Database, content: bytes | str, local_authority: str = "") -> bool:
    content = content.encode() if isinstance(content, str) else content
    with database.write() as session:
        return take(session, read_adt(parsed(decoded(content))), content, "10.0.0.7", local_authority)


def persons(session: Session, patient: Patient) -> set[tuple[str, str]]:
    """The other labels of a patient's person."""
    others = persons_labels(session, (patient.id,)) - {patient.id}
    return {(one.patient_id, one.issuer) for one in session.scalars(select(Patient).where(Patient.id.in_(others)))}


@pytest.mark.parametrize("event", ["A40", "A47"])
def test_the_prior_and_the_surviving_id_are_one_person_from_now_on(database: Database, event: str) -> None:
    with database.write() as session:
        old, _ = file_patient(session, "X1", issuer="HOSP"), file_patient(session, "Y1", issuer="HOSP")
    assert send(database, adt.merge("X1", "Y1", event))
    with database.read() as session:
        assert persons(session, old) == {("Y1", "HOSP")}
        event_row = session.scalars(select(AuditEvent).where(AuditEvent.action == AuditAction.RECORDS_JOINED)).first()
        assert event_row is not None
        assert (event_row.user_name, event_row.address) == (f"HL7 ADT^{event}", "10.0.0.7")


def test_an_alert_that_said_so_is_closed_and_another_is_judged_anew(database: Database) -> None:
    with database.write() as session:
        one, two, three = (file_patient(session, number, issuer="HOSP") for number in ("X1", "Y1", "Z1"))
        image = file_image(session, one)
        same = file_alert(session, image, file_image(session, two), AlertKind.DUPLICATE_RECORD).id
        other = file_alert(session, file_image(session, one), file_image(session, three), AlertKind.WRONG_PATIENT)
        about, other_pk = other.instance_pk, other.id
    send(database, adt.merge("X1", "Y1"))
    with database.read() as session:
        assert session.get_one(Alert, same).state is AlertState.RESOLVED
        assert session.get_one(Alert, other_pk).state is AlertState.OPEN
        assert session.get_one(Instance, about).judge_again


def test_images_that_come_later_under_either_id_belong_to_the_person(database: Database) -> None:
    send(database, adt.merge("X1", "Y1"))
    with database.write() as session:
        assert persons(session, file_patient(session, "X1", issuer="HOSP")) == {("Y1", "HOSP")}


def test_the_same_message_again_changes_nothing_even_if_people_have_decided_since(database: Database) -> None:
    content = adt.merge("X1", "Y1")
    assert send(database, content)
    with database.write() as session:
        one, two = file_patient(session, "X1", issuer="HOSP"), file_patient(session, "Y1", issuer="HOSP")
        assert unjoin(session, one.id, two.id, Author("anna"))
    assert not send(database, content)
    with database.read() as session:
        assert persons(session, one) == set()
        assert session.scalar(select(func.count(Hl7Message.id))) == 1


def test_what_cannot_be_is_refused_and_nothing_of_the_message_is_kept(database: Database) -> None:
    text = adt.header("A40") + "\rPID|||Y1^^^HOSP\rMRG|X1^^^HOSP\rPID|||Z1^^^HOSP\rMRG|Z1^^^HOSP\r"
    with pytest.raises(MessageRefused) as caught:
        send(database, text)
    assert (caught.value.code, caught.value.error) == ("AE", 204)
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == session.scalar(select(func.count(Hl7Message.id))) == 0


def test_ids_of_two_authorities_are_not_mixed_up(database: Database) -> None:
    text = adt.header("A40") + "\rPID|||Y1^^^HOSP^MR~900^^^NATION^PI\rMRG|X1^^^HOSP^MR~800^^^NATION^PI\r"
    send(database, text)
    with database.write() as session:
        assert persons(session, file_patient(session, "X1", issuer="HOSP")) == {("Y1", "HOSP")}
        assert persons(session, file_patient(session, "800", issuer="NATION")) == {("900", "NATION")}
    with pytest.raises(MessageRefused) as caught:
        send(database, adt.header("A40") + "\rPID|||Y1^^^HOSP\rMRG|X1^^^NATION\r")
    assert caught.value.error == 204


def test_images_without_an_issuer_are_of_the_local_authority(database: Database) -> None:
    with database.write() as session:
        old = file_patient(session, "X1")
    send(database, adt.merge("X1", "Y1"), local_authority=LOCAL)
    with database.read() as session:
        assert persons(session, old) == {("Y1", "")}


def test_without_a_local_authority_images_without_an_issuer_are_nobody_s_by_guess(database: Database) -> None:
    with database.write() as session:
        old = file_patient(session, "X1")
    send(database, adt.merge("X1", "Y1"))
    with database.read() as session:
        assert persons(session, old) == set()


def test_a_label_is_found_by_namespace_or_universal_id(database: Database) -> None:
    with database.write() as session:
        file_patient(session, "7", issuer="1.2.3")
        assert labels(session, Identifier("7", "HOSP", "1.2.3"), "") == [("7", "1.2.3")]
        assert labels(session, Identifier("8", "HOSP", "1.2.3"), "") == [("8", "HOSP")]
        assert labels(session, Identifier("8"), "HOSP") == [("8", "")]
        file_patient(session, "7", issuer="")
        assert labels(session, Identifier("7", "HOSP", "1.2.3"), "HOSP") == [("7", "1.2.3"), ("7", "")]


def test_a_corrected_name_is_kept_and_alerts_of_the_patient_are_judged_anew(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "7", "Wrong^Name", issuer="HOSP", birth_date="19700101", sex="M")
        alert = file_alert(session, file_image(session, patient), file_image(session, file_patient(session, "8")))
        about = alert.instance_pk
    send(database, adt.update("7", "Right^Name"))
    with database.read() as session:
        found = session.get_one(Patient, patient.id)
        assert (found.name, found.birth_date, found.sex) == ("Right^Name", "19700131", "F")
        assert session.get_one(Instance, about).judge_again
        assert session.scalar(select(AuditEvent.action)) == AuditAction.PATIENT_UPDATED


def test_an_update_that_says_nothing_new_leaves_everything_alone(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "7", "Right^Name", issuer="HOSP", birth_date="19700131", sex="F")
        about = file_alert(session, file_image(session, patient)).instance_pk
    send(database, adt.update("7", "Right^Name"))
    with database.read() as session:
        assert not session.get_one(Instance, about).judge_again
        assert session.scalar(select(func.count(AuditEvent.id))) == 0


def test_a_patient_without_images_is_not_entered_by_an_update(database: Database) -> None:
    send(database, adt.update("7", "Right^Name"))
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == 0
