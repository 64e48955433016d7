"""Findings of an audit become alerts of their own kinds, twice the same, and never in the way of the live list."""

from __future__ import annotations

import pytest

from archive.alerts import Finding, label_key, pixels_key, raise_alert, record_key
from archive.archive_audit import raise_audit_alerts, ranked
from archive.database import Database
from archive.gallery import load_probe, priors
from archive.models import Alert, Instance
from archive.review import dispose
from archive.states import AlertKind, AlertState, ImageState, Role
from archive.whole_gallery import doubted, extent, study_count, whole_gallery
from config.settings import Settings
from tests.archive.filing import enlist
from tests.filed import file_image
from tests.people import MODEL, Crowd


def misfiled(image: Instance, other: Instance, probability: float = 0.5) -> Finding:
    return Finding(
        label_key(image.id),
        AlertKind.WRONG_PATIENT,
        probability,
        image.id,
        image.patient_pk,
        other.id,
        other.patient_pk,
    )


def states(database: Database) -> dict[str, tuple[AlertKind, AlertState, float]]:
    with database.read() as session:
        return {alert.key: (alert.kind, alert.state, alert.probability) for alert in session.query(Alert)}


@pytest.fixture
def images(database: Database) -> list[Instance]:
    with database.write() as session:
        return [file_image(session, f"P{number}") for number in range(8)]


def test_the_most_probable_are_open_and_the_same_audit_again_changes_nothing(
    database: Database, images: list[Instance]
) -> None:
    found = [misfiled(images[i], images[i + 1], 0.1 * (i + 1)) for i in range(5)]
    found.append(Finding(pixels_key(images[6].id), AlertKind.DUPLICATE_IMAGE, 1.0, images[6].id, images[6].patient_pk))
    for order in (found, found[::-1]):
        with database.write() as session:
            raised = raise_audit_alerts(session, order, 2)
        assert [one.alert.state for one in raised] == [AlertState.OPEN] * 3 + [AlertState.HELD] * 3
        assert [one.finding.probability for one in raised] == pytest.approx([1.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    kept = states(database)
    assert len(kept) == 6
    assert {kind for kind, _, _ in kept.values()} == {AlertKind.AUDIT_WRONG_PATIENT, AlertKind.AUDIT_DUPLICATE_IMAGE}


def test_a_record_found_from_both_sides_is_one_alert(images: list[Instance]) -> None:
    one, other = images[:2]
    key = record_key(one.patient_pk, other.patient_pk)
    sides = [
        Finding(key, AlertKind.DUPLICATE_RECORD, 0.3, one.id, one.patient_pk, other.id, other.patient_pk),
        Finding(key, AlertKind.DUPLICATE_RECORD, 0.6, other.id, other.patient_pk, one.id, one.patient_pk),
    ]
    assert ranked(sides) == [sides[1]]


def test_live_alerts_and_decisions_stay_as_they_are(
    database: Database, settings: Settings, images: list[Instance]
) -> None:
    with database.write() as session:
        raise_alert(session, settings, misfiled(images[0], images[1], 0.2))
        decided = raise_audit_alerts(session, [misfiled(images[2], images[3], 0.7)], 9)[0].alert
        dispose(session, decided.id, enlist(session, Role.QA), AlertState.NOT_AN_ERROR)
        before = decided.key
    with database.write() as session:
        found = [misfiled(images[0], images[1], 0.9), misfiled(images[2], images[3], 0.8)]
        raised = raise_audit_alerts(session, found, 9)
    assert [one.known for one in raised] == [True, False]
    kept = states(database)
    assert kept[label_key(images[0].id)] == (AlertKind.WRONG_PATIENT, AlertState.OPEN, 0.2)
    assert kept[before] == (AlertKind.AUDIT_WRONG_PATIENT, AlertState.NOT_AN_ERROR, 0.7)


def test_what_is_not_found_any_more_closes_until_it_is_found_again(database: Database, images: list[Instance]) -> None:
    for found, state in (([0], AlertState.OPEN), ([], AlertState.RESOLVED), ([0], AlertState.OPEN)):
        with database.write() as session:
            raise_audit_alerts(session, [misfiled(images[i], images[1]) for i in found], 9)
        assert states(database)[label_key(images[0].id)][1] is state


def test_a_live_finding_takes_an_audits_alert_over_within_the_budget(
    database: Database, settings: Settings, images: list[Instance]
) -> None:
    with database.write() as session:
        raise_audit_alerts(session, [misfiled(images[0], images[1], 0.2)], 9)
        alert = raise_alert(session, settings, misfiled(images[0], images[1], 0.4))
    assert (alert.kind, alert.state) == (AlertKind.WRONG_PATIENT, AlertState.OPEN)


def test_audit_alerts_use_up_no_budget_of_new_images(
    database: Database, settings: Settings, images: list[Instance]
) -> None:
    narrow = settings.model_copy(
        update={"verdict": settings.verdict.model_copy(update={"alerts_per_1000": 1.0, "budget_window": 1000})}
    )
    with database.write() as session:
        raise_audit_alerts(session, [misfiled(images[i], images[7], 0.9) for i in range(5)], 9)
        alert = raise_alert(session, narrow, misfiled(images[5], images[6], 0.1))
        assert alert.state is AlertState.OPEN


def test_an_audits_probable_alert_takes_the_image_out_of_live_evidence_but_not_out_of_the_next_audit(
    database: Database,
) -> None:
    crowd = Crowd()
    with database.write() as session:
        wrong, right = (crowd.take(session, 1, state=ImageState.MATCHED) for _ in range(2))
        other = crowd.take(session, 2, state=ImageState.MATCHED)
        new = crowd.take(session, 1)
        alert = raise_audit_alerts(session, [misfiled(wrong, other, 0.8)], 9)[0].alert
    with database.read() as session:
        probe = load_probe(session, new.id)
        assert probe is not None
        assert priors(session, probe, MODEL).instance.tolist() == [right.id]
        assert doubted(session) == set()
    with database.write() as session:
        dispose(session, alert.id, enlist(session, Role.QA), AlertState.CONFIRMED)
        assert doubted(session) == {wrong.id}


def test_the_whole_gallery_is_read_up_to_an_id(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archive.whole_gallery._PAGE", 2)
    crowd = Crowd()
    with database.write() as session:
        ids = [crowd.take(session, 1, study=f"S{i // 2}", state=ImageState.MATCHED, pixels="same").id for i in range(4)]
        crowd.take(session, 2)
        crowd.take(session, 2, state=ImageState.MATCHED, model_id="older")
        unlabelled = crowd.take(session, 3, label=" ", state=ImageState.MATCHED).id
    with database.read() as session:
        assert extent(session, MODEL) == (5, unlabelled)
        assert extent(session, MODEL, ids[-1]) == (4, ids[-1])
        assert study_count(session, MODEL) == 3
        pages = list(whole_gallery(session, MODEL, unlabelled))
    assert [page.instance.tolist() for page in pages] == [ids[:2], ids[2:], [unlabelled]]
    assert pages[2].person.tolist() == [-unlabelled]
    assert len({number for page in pages[:2] for number in page.exposure.tolist()}) == 1
    assert pages[0].embedding.shape == (2, 64)
    assert pages[0].study[0] == pages[0].study[1] != pages[1].study[0]
