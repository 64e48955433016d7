"""Which Patient IDs are to be learned from: those about which nothing and nobody has raised a doubt."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from archive import labels
from archive.database import Database
from archive.labels import Doubt, labelled_images
from archive.links import Author, join
from archive.models import Instance, Series, Study, Variant
from archive.states import AlertKind, AlertState, ImageState
from tests.archive.filing import file_alert, file_image, file_patient


def doubts(session: Session) -> dict[int, Doubt | None]:
    return {image.instance_id: image.doubt for image in labelled_images(session)}


def add(session: Session, patient: str, **facts: object) -> Instance:
    return file_image(session, file_patient(session, patient, issuer="HOSP"), **facts)


def test_a_matched_image_is_believed_and_named_by_patient_id_and_issuer(database: Database) -> None:
    with database.write() as session:
        image = add(session, "P1")
        (found,) = labelled_images(session)
        assert (found.instance_id, found.label, found.doubt) == (image.id, ("P1", "HOSP"), None)
        assert found.file_digest == image.file_digest


@pytest.mark.parametrize(
    ("state", "doubt"),
    [
        (ImageState.RECEIVED, Doubt.NOT_MATCHED),
        (ImageState.ENCODED, Doubt.NOT_MATCHED),
        (ImageState.FAILED, Doubt.NOT_MATCHED),
        (ImageState.UNSUITABLE, Doubt.UNSUITABLE),
    ],
)
def test_an_image_that_was_not_compared_is_not_believed(database: Database, state: ImageState, doubt: Doubt) -> None:
    with database.write() as session:
        image = add(session, "P1", state=state)
        assert doubts(session) == {image.id: doubt}


def test_an_image_without_patient_id_is_not_believed(database: Database) -> None:
    with database.write() as session:
        image = add(session, " ")
        assert doubts(session) == {image.id: Doubt.NO_PATIENT_ID}


@pytest.mark.parametrize("kind", [AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH])
@pytest.mark.parametrize(
    ("state", "probability", "doubt"),
    [
        (AlertState.OPEN, 0.1, Doubt.DISPUTED),
        (AlertState.UNDER_INVESTIGATION, 0.1, Doubt.DISPUTED),
        (AlertState.CONFIRMED, 0.1, Doubt.DISPUTED),
        (AlertState.HELD, 0.6, Doubt.DISPUTED),
        (AlertState.HELD, 0.4, None),
        (AlertState.NOT_AN_ERROR, 0.9, None),
    ],
)
def test_an_alert_about_a_label_takes_out_the_label_and_not_the_one_it_looks_like(
    database: Database, kind: AlertKind, state: AlertState, probability: float, doubt: Doubt | None
) -> None:
    with database.write() as session:
        image, prior, other = add(session, "P1"), add(session, "P1"), add(session, "P2")
        file_alert(session, image, other, kind, probability, state)
        assert doubts(session) == {image.id: doubt, prior.id: doubt, other.id: None}


@pytest.mark.parametrize(
    ("kind", "state", "doubt"),
    [
        (AlertKind.DUPLICATE_RECORD, AlertState.OPEN, Doubt.MERGED),
        (AlertKind.DUPLICATE_RECORD, AlertState.CONFIRMED, Doubt.MERGED),
        (AlertKind.DUPLICATE_RECORD, AlertState.NOT_AN_ERROR, None),
        (AlertKind.WRONG_PATIENT, AlertState.SAME_PERSON, None),
    ],
)
def test_two_labels_that_may_be_one_person_are_both_taken_out(
    database: Database, kind: AlertKind, state: AlertState, doubt: Doubt | None
) -> None:
    with database.write() as session:
        image, other, third = add(session, "P1"), add(session, "P2"), add(session, "P3")
        file_alert(session, image, other, kind, 0.9, state)
        assert doubts(session) == {image.id: doubt, other.id: doubt, third.id: None}


def test_joined_labels_are_one_label(database: Database) -> None:
    with database.write() as session:
        image, other = add(session, "P1", pixel_sha256="1" * 64), add(session, "P2", pixel_sha256="1" * 64)
        join(session, image.patient_pk, other.patient_pk, Author("qa"))
        assert [(found.label, found.doubt) for found in labelled_images(session)] == [(("P1", "HOSP"), None)] * 2


def test_a_study_under_two_patient_ids_is_taken_out_whole(database: Database) -> None:
    with database.write() as session:
        images = [add(session, "P1"), add(session, "P2"), add(session, "P1")]
        studies = [session.get_one(Study, session.get_one(Series, image.series_pk).study_pk) for image in images]
        studies[1].study_instance_uid = studies[0].study_instance_uid
        session.flush()
        assert list(doubts(session).values()) == [Doubt.TWO_IDS_IN_STUDY, Doubt.TWO_IDS_IN_STUDY, None]


def test_pixels_under_two_patient_ids_are_taken_out_even_if_one_was_not_compared(database: Database) -> None:
    with database.write() as session:
        add(session, "P1", pixel_sha256="1" * 64)
        add(session, "P2", pixel_sha256="1" * 64, state=ImageState.ENCODED)
        add(session, "P1", pixel_sha256="2" * 64)
        add(session, "P1", pixel_sha256="2" * 64)
        assert list(doubts(session).values()) == [Doubt.TWO_IDS_FOR_PIXELS, Doubt.NOT_MATCHED, None, None]


def test_an_instance_uid_under_two_patient_ids_is_taken_out(database: Database) -> None:
    with database.write() as session:
        taken, again, other = add(session, "P1"), add(session, "P1"), add(session, "P2")
        for image, patient_pk in ((taken, other.patient_pk), (again, again.patient_pk)):
            session.add(
                Variant(
                    instance_pk=image.id,
                    patient_pk=patient_pk,
                    file_digest="f" * 64,
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    size=1,
                )
            )
        session.flush()
        assert doubts(session) == {taken.id: Doubt.TWO_IDS_FOR_UID, again.id: None, other.id: None}


def test_all_images_come_whatever_the_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_PAGE", 3)
    with database.write() as session:
        added = [add(session, f"P{number}").id for number in range(7)]
        assert [image.instance_id for image in labelled_images(session)] == added
