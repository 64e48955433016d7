"""Patient IDs that are one person and pairs that are not: what is remembered, what follows, and how it is undone."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.changes import changes_since, forget_changes, newest_change
from archive.database import Database
from archive.links import Author, LinkRefused, is_denied, join, links_of, merge, patient_of, persons_labels, unjoin
from archive.models import Alert, AuditEvent, Instance, Patient
from archive.resolution import SYSTEM, settle
from archive.review import DecisionRefused, dispose
from archive.states import AlertKind, AlertState, LinkKind, Role
from tests.archive.filing import enlist, file_alert, file_image, file_patient

QA = Author("qa", "10.0.0.9")


def add(session: Session, label: str) -> Instance:
    return file_image(session, file_patient(session, label))


def persons(session: Session) -> dict[str, int | None]:
    return {row.patient_id: row.person_pk for row in session.scalars(select(Patient))}


def waiting(session: Session) -> set[int]:
    return set(session.scalars(select(Instance.id).where(Instance.judge_again)))


def test_joined_labels_are_one_person_and_so_are_those_joined_with_them(database: Database) -> None:
    with database.write() as session:
        a, b, c, d, e = (add(session, label).patient_pk for label in "ABCDE")
        join(session, b, a, QA)
        join(session, d, c, QA)
        assert persons(session) == {"A": a, "B": a, "C": c, "D": c, "E": None}
        join(session, d, b, QA)
        assert persons(session) == {"A": a, "B": a, "C": a, "D": a, "E": None}
        assert persons_labels(session, (c,)) == {a, b, c, d} and persons_labels(session, (e,)) == {e}
        assert unjoin(session, b, d, QA)
        assert persons(session) == {"A": a, "B": a, "C": c, "D": c, "E": None}
        assert not unjoin(session, b, d, QA)


def test_labels_that_another_link_holds_together_stay_together(database: Database) -> None:
    with database.write() as session:
        a, b, c = (add(session, label).patient_pk for label in "ABC")
        for one, another in ((a, b), (b, c), (a, c)):
            join(session, one, another, QA)
        unjoin(session, a, b, QA)
        assert persons(session) == {"A": a, "B": a, "C": a}
        unjoin(session, c, b, QA)
        assert persons(session) == {"A": a, "B": None, "C": a}


def test_two_authors_words_stand_beside_each_other(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "A"), add(session, "B")
        alert = file_alert(session, image, other, AlertKind.DUPLICATE_RECORD)
        user = enlist(session, Role.QA)
        merge(session, ("A", ""), ("B", ""), Author("HL7 ADT^A40"))
        dispose(session, alert.id, user, AlertState.SAME_PERSON)
        dispose(session, alert.id, user, AlertState.OPEN)
        assert persons(session) == {"A": image.patient_pk, "B": image.patient_pk}
        unjoin(session, image.patient_pk, other.patient_pk, QA)
        assert persons(session) == {"A": None, "B": None}


def test_the_index_is_told_of_every_image_whose_person_changed(database: Database) -> None:
    with database.write() as session:
        first, second, third = add(session, "A"), add(session, "B"), add(session, "C")
        join(session, first.patient_pk, second.patient_pk, QA)
        changes = changes_since(session, 0)
        assert (changes.relabelled, changes.images) == ({first.id, second.id}, frozenset())
        forget_changes(session, changes.last)
        assert not changes_since(session, 0) and newest_change(session) == 0
        unjoin(session, first.patient_pk, second.patient_pk, QA)
        assert changes_since(session, changes.last).relabelled == {first.id, second.id}
        assert third.id not in waiting(session)


def test_joining_closes_what_it_answers_and_has_the_rest_judged_anew(database: Database) -> None:
    with database.write() as session:
        image, other, stranger = add(session, "A"), add(session, "B"), add(session, "C")
        answered = file_alert(session, image, other, AlertKind.WRONG_PATIENT)
        held = file_alert(session, other, image, AlertKind.DUPLICATE_RECORD, state=AlertState.HELD)
        touched = file_alert(session, stranger, other, AlertKind.WRONG_PATIENT)
        decided = file_alert(session, image, other, AlertKind.PRIOR_MISMATCH, state=AlertState.CONFIRMED)
        fact = file_alert(session, image, other, AlertKind.DUPLICATE_IMAGE, evidence={"cause": "uid_conflict"})
        join(session, image.patient_pk, other.patient_pk, QA)
        states = [session.get_one(Alert, one.id).state for one in (answered, held, touched, decided, fact)]
        assert states == [
            AlertState.RESOLVED,
            AlertState.RESOLVED,
            AlertState.OPEN,
            AlertState.CONFIRMED,
            AlertState.OPEN,
        ]
        assert answered.resolution == held.resolution == "joined"
        assert waiting(session) == {stranger.id}
        trail = [(event.user_name, event.action) for event in session.scalars(select(AuditEvent))]
        assert trail.count((SYSTEM, "alert closed: its records are one person")) == 2
        assert trail.count(("qa", "records joined")) == 2


def test_separating_has_everything_judged_anew_that_was_judged_as_one_person(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "A"), add(session, "B")
        alert = file_alert(session, image, other, AlertKind.WRONG_PATIENT)
        join(session, image.patient_pk, other.patient_pk, QA)
        unjoin(session, image.patient_pk, other.patient_pk, QA)
        assert waiting(session) == {image.id} and alert.state is AlertState.RESOLVED


def test_same_person_joins_and_taking_it_back_separates(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "A"), add(session, "B")
        alert, user = file_alert(session, image, other, AlertKind.WRONG_PATIENT), enlist(session, Role.QA)
        dispose(session, alert.id, user, AlertState.SAME_PERSON, address="10.0.0.9")
        assert persons(session) == {"A": image.patient_pk, "B": image.patient_pk}
        assert alert.state is AlertState.SAME_PERSON
        dispose(session, alert.id, user, AlertState.CONFIRMED)
        assert persons(session) == {"A": None, "B": None}
        (link,) = links_of(session, (image.patient_pk,))
        assert (link.kind, link.alert_pk, link.created_by, link.ended_by) == (
            LinkKind.SAME_PERSON,
            alert.id,
            user.name,
            user.name,
        )


def test_no_error_is_remembered_for_the_pair_and_can_be_taken_back(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "A"), add(session, "B")
        user = enlist(session, Role.QA)
        record = file_alert(session, image, other, AlertKind.DUPLICATE_RECORD)
        label = file_alert(session, image, other, AlertKind.WRONG_PATIENT)
        a, b = image.patient_pk, other.patient_pk

        def denied() -> list[bool]:
            kinds = (AlertKind.DUPLICATE_RECORD, AlertKind.WRONG_PATIENT)
            return [is_denied(session, kind, *pair) for kind in kinds for pair in ((a, b), (b, a))]

        dispose(session, record.id, user, AlertState.NOT_AN_ERROR)
        assert denied() == [True, True, False, False]
        dispose(session, label.id, user, AlertState.NOT_AN_ERROR)
        # That an image of A was not B's says nothing about an image of B that looks like A.
        assert denied() == [True, True, True, False]
        dispose(session, record.id, user, AlertState.OPEN)
        assert denied() == [False, False, True, False]
        assert image.id in waiting(session)
        dispose(session, label.id, user, AlertState.UNDER_INVESTIGATION)
        assert denied() == [False] * 4


def test_what_was_said_of_a_label_holds_for_its_person(database: Database) -> None:
    with database.write() as session:
        image, other, third = add(session, "A"), add(session, "B"), add(session, "C")
        alert, user = file_alert(session, image, other, AlertKind.DUPLICATE_RECORD), enlist(session, Role.QA)
        dispose(session, alert.id, user, AlertState.NOT_AN_ERROR)
        join(session, other.patient_pk, third.patient_pk, QA)
        assert is_denied(session, AlertKind.DUPLICATE_RECORD, third.patient_pk, image.patient_pk)
        assert not is_denied(session, AlertKind.DUPLICATE_RECORD, third.patient_pk, other.patient_pk)
        assert not is_denied(session, AlertKind.PRIOR_MISMATCH, image.patient_pk, other.patient_pk)


def test_two_persons_are_not_joined_by_a_chain_unless_another_system_says_so(database: Database) -> None:
    with database.write() as session:
        image, other, third = add(session, "A"), add(session, "B"), add(session, "C")
        user = enlist(session, Role.QA)
        alert = file_alert(session, image, other, AlertKind.DUPLICATE_RECORD)
        dispose(session, alert.id, user, AlertState.NOT_AN_ERROR)
        join(session, other.patient_pk, third.patient_pk, QA)
        with pytest.raises(LinkRefused, match="two persons"):
            join(session, image.patient_pk, third.patient_pk, QA)
        assert merge(session, ("C", ""), ("A", ""), Author("HL7 ADT^A40"))
        assert set(persons(session).values()) == {image.patient_pk}
        assert not is_denied(session, AlertKind.DUPLICATE_RECORD, image.patient_pk, other.patient_pk)
        assert not merge(session, ("C", ""), ("A", ""), Author("HL7 ADT^A40"))


def test_a_decision_changes_from_no_error_to_one_person(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "A"), add(session, "B")
        alert, user = file_alert(session, image, other, AlertKind.DUPLICATE_RECORD), enlist(session, Role.QA)
        dispose(session, alert.id, user, AlertState.NOT_AN_ERROR)
        dispose(session, alert.id, user, AlertState.SAME_PERSON)
        assert persons(session) == {"A": image.patient_pk, "B": image.patient_pk}


def test_an_alert_that_names_one_record_joins_nothing(database: Database) -> None:
    with database.write() as session:
        alert, user = file_alert(session, add(session, "A"), kind=AlertKind.PRIOR_MISMATCH), enlist(session, Role.QA)
    with pytest.raises(DecisionRefused, match="one record only"), database.write() as session:
        dispose(session, alert.id, user, AlertState.SAME_PERSON)
    with database.read() as session:
        assert session.get_one(Alert, alert.id).state is AlertState.OPEN


def test_a_merge_counts_for_images_that_come_later(database: Database) -> None:
    with database.write() as session:
        merge(session, ("OLD", "HOSP"), ("NEW", "HOSP"), Author("HL7 ADT^A40"))
        old, new = patient_of(session, ("OLD", "HOSP")), patient_of(session, ("NEW", "HOSP"))
        assert old.person_pk == new.person_pk is not None
        (link,) = links_of(session, (old.id,))
        assert (link.surviving_pk, link.created_by) == (new.id, "HL7 ADT^A40")
        for label in (("NEW", "HOSP"), (" ", "HOSP")):
            with pytest.raises(LinkRefused):
                merge(session, label, ("NEW", "HOSP"), Author("HL7 ADT^A40"))


def test_judged_anew_what_is_not_found_again_closes(database: Database) -> None:
    with database.write() as session:
        image = add(session, "A")
        kinds = (AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH, AlertKind.DUPLICATE_RECORD)
        gone, found, decided = (file_alert(session, image, kind=kind) for kind in kinds)
        decided.state = AlertState.CONFIRMED
        settle(session, image.id, found.key)
        assert (gone.state, gone.resolution) == (AlertState.RESOLVED, "judged_anew")
        assert (found.state, decided.state) == (AlertState.OPEN, AlertState.CONFIRMED)
