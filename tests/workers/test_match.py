"""Every row of the verdict table, through the real database and index; a repetition or a crash changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from archive.database import Database, open_database
from archive.models import Alert, Code, Disposition, Instance, Patient, User
from archive.states import AlertKind, AlertState, ImageState, Role
from config.paths import DataDir
from config.settings import Settings
from tests.people import MODEL, NETWORK, Crowd
from workers.index_owner import IndexOwner, open_owner
from workers.match import OUTDATED, match, match_image

PATIENTS = 30
IMAGES = 3
YESTERDAY = Crowd(day=0)


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with patients P0 to P29 and three matched images of each."""
    path = tmp_path_factory.mktemp("filed") / "archive.sqlite3"
    made = Database(f"sqlite:///{path}")
    made.migrate()
    with made.write() as session:
        for person in range(PATIENTS):
            for _ in range(IMAGES):
                YESTERDAY.take(session, person, state=ImageState.MATCHED)
    made.close()
    return path


@pytest.fixture
def database(filed: Path, settings: Settings, folder: DataDir) -> Iterator[Database]:
    """A copy of it."""
    shutil.copy(filed, folder.database)
    opened = open_database(settings, folder)
    yield opened
    opened.close()


@pytest.fixture
def crowd() -> Crowd:
    """The same people on another day."""
    return Crowd(day=1)


@pytest.fixture(params=["hnsw", "exact"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The defaults with either index."""
    return settings.model_copy(update={"index": settings.index.model_copy(update={"kind": request.param})})


@pytest.fixture
def owner(database: Database, settings: Settings, folder: DataDir) -> Iterator[IndexOwner]:
    """The owner of an index that holds the crowd."""
    opened = open_owner(database, settings, folder, NETWORK)
    yield opened
    opened.close()


def take(
    database: Database, crowd: Crowd, person: int, label: str | None = None, study: str = "", pixels: str = ""
) -> int:
    with database.write() as session:
        return crowd.take(session, person, label, study, pixels=pixels).id


def alerts(database: Database) -> list[Alert]:
    with database.read() as session:
        return list(session.scalars(select(Alert).order_by(Alert.id)))


def instance(database: Database, number: int) -> Instance:
    with database.read() as session:
        return session.get_one(Instance, number)


def patient(database: Database, label: str) -> int:
    with database.read() as session:
        return session.scalars(select(Patient.id).where(Patient.patient_id == label)).one()


def test_an_image_under_another_patient_is_found_with_its_owner(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    number = take(database, crowd, person=7, label="P3")
    assert match_image(owner, database, settings, number) == "wrong_patient"
    (alert,) = alerts(database)
    assert (alert.kind, alert.state, alert.instance_pk) == (AlertKind.WRONG_PATIENT, AlertState.OPEN, number)
    assert (alert.patient_pk, alert.other_patient_pk) == (patient(database, "P3"), patient(database, "P7"))
    assert alert.other_instance_pk is not None
    assert instance(database, alert.other_instance_pk).patient_pk == alert.other_patient_pk
    assert 0.5 < alert.probability <= 1
    matched = instance(database, number)
    assert (matched.state, matched.verdict) == (ImageState.MATCHED, "wrong_patient")
    assert matched.probability == alert.probability and matched.matched_at is not None
    assert number in owner.index


def test_the_evidence_says_what_the_verdict_stands_on(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    match_image(owner, database, settings, take(database, crowd, person=7, label="P3"))
    (alert,) = alerts(database)
    evidence = alert.evidence
    assert {key: evidence[key] for key in ("cause", "gallery_patients", "gallery_images", "base_rate")} == {
        "cause": "comparison",
        "gallery_patients": PATIENTS,
        "gallery_images": PATIENTS * IMAGES,
        "base_rate": settings.verdict.base_rate,
    }
    own, other = evidence["own"], evidence["other"]
    assert own["images"] == other["images"] == IMAGES
    assert own["log_lr"] < 0 < other["log_lr"] and other["runner_up_log_lr"] < other["log_lr"]
    assert other["best_instance"] == alert.other_instance_pk
    assert instance(database, own["best_instance"]).patient_pk == alert.patient_pk
    assert own["best_cosine"] < 0.5 < other["best_cosine"] <= 1
    assert own["best_probability"] < 0.5 < other["best_probability"] <= 1


def test_images_under_their_own_name_raise_nothing(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    for person in range(PATIENTS):
        assert match_image(owner, database, settings, take(database, crowd, person)) == "consistent"
    assert alerts(database) == []


def test_a_new_patient_is_first_seen(owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd) -> None:
    for person in range(100, 120):
        assert match_image(owner, database, settings, take(database, crowd, person)) == "first_seen"
    assert alerts(database) == []


def test_a_stranger_under_a_known_name_is_a_prior_mismatch(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    number = take(database, crowd, person=100, label="P3")
    assert match_image(owner, database, settings, number) == "prior_mismatch"
    (alert,) = alerts(database)
    assert (alert.kind, alert.other_instance_pk, alert.other_patient_pk) == (AlertKind.PRIOR_MISMATCH, None, None)


@pytest.mark.parametrize("known", [True, False])
def test_one_person_with_two_labels_is_one_alert_for_the_pair(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, known: bool
) -> None:
    label = "again" if not known else "P3"
    with database.write() as session:
        if known:
            crowd.take(session, 7, "P3", state=ImageState.MATCHED)
            for code in session.scalars(
                select(Code).join(Instance).where(Instance.patient_pk == patient(database, "P3"))
            ):
                code.embedding = crowd.embedding(7).astype("<f4").tobytes()
                code.code = crowd.code(crowd.embedding(7)).tobytes()
    for _ in range(3):
        assert match_image(owner, database, settings, take(database, crowd, 7, label)) == "duplicate_record"
    (alert,) = alerts(database)
    assert alert.kind is AlertKind.DUPLICATE_RECORD
    assert {alert.patient_pk, alert.other_patient_pk} == {patient(database, label), patient(database, "P7")}


@pytest.mark.parametrize("label", ["P3", "P7"])
def test_the_same_pixels_under_another_name_or_study_are_certain(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, label: str
) -> None:
    first = take(database, crowd, 7, "P7", pixels="same")
    match_image(owner, database, settings, first)
    number = take(database, crowd, 7, label, pixels="same")
    assert match_image(owner, database, settings, number) == "duplicate_image"
    (alert,) = alerts(database)
    assert (alert.kind, alert.probability, alert.instance_pk) == (AlertKind.DUPLICATE_IMAGE, 1.0, number)
    assert (alert.other_instance_pk, alert.other_patient_pk) == (first, patient(database, "P7"))
    assert alert.evidence["cause"] == "same_pixels"


def test_the_same_pixels_again_in_one_study_are_a_harmless_repetition(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    for _ in range(2):
        number = take(database, crowd, 7, "P7", study="one", pixels="same")
        assert match_image(owner, database, settings, number) == "consistent"
    assert alerts(database) == []


def test_all_images_of_a_misfiled_study_are_found(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    """The first one must not become a prior that speaks for the second."""
    for _ in range(2):
        number = take(database, crowd, person=7, label="P3", study="one")
        assert match_image(owner, database, settings, number) == "wrong_patient"
    assert len(alerts(database)) == 2


def test_a_misfiled_image_does_not_make_its_owner_suspect_later(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    match_image(owner, database, settings, take(database, crowd, person=7, label="P3"))
    for person in (7, 3):
        assert match_image(owner, database, settings, take(database, crowd, person)) == "consistent"
    assert len(alerts(database)) == 1


def test_a_decision_about_a_pair_is_remembered(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    match_image(owner, database, settings, take(database, crowd, 7, "again"))
    with database.write() as session:
        (alert,) = session.scalars(select(Alert))
        user = User(name="qa", password_hash="-", role=Role.QA)
        session.add(user)
        session.flush()
        session.add(Disposition(alert_pk=alert.id, user_pk=user.id, decision=AlertState.SAME_PERSON))
        alert.state = AlertState.SAME_PERSON
    match_image(owner, database, settings, take(database, crowd, 7, "again"))
    (alert,) = alerts(database)
    assert alert.state is AlertState.SAME_PERSON


def test_images_without_patient_id_have_no_priors_and_do_not_accuse_each_other(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    for _ in range(2):
        assert match_image(owner, database, settings, take(database, crowd, 200, "")) == "first_seen"
    assert match_image(owner, database, settings, take(database, crowd, 7, "")) == "duplicate_record"
    assert match_image(owner, database, settings, take(database, crowd, 9, "")) == "duplicate_record"
    assert len(alerts(database)) == 2


def test_a_patient_with_hundreds_of_images_does_not_hide_another_record(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    narrow = settings.model_copy(
        update={"index": settings.index.model_copy(update={"candidates": 20, "keep": 10, "kind": settings.index.kind})}
    )
    for _ in range(60):
        match_image(owner, database, narrow, take(database, crowd, 7, "P7"))
    match_image(owner, database, narrow, take(database, crowd, 7, "again"))
    (alert,) = alerts(database)
    assert alert.kind is AlertKind.DUPLICATE_RECORD


def test_the_message_twice_has_the_result_of_once(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    number = take(database, crowd, person=7, label="P3")
    match_image(owner, database, settings, number)
    before, count = instance(database, number), owner.index.count
    assert match_image(owner, database, settings, number) == "MATCHED"
    after = instance(database, number)
    assert (after.matched_at, after.probability) == (before.matched_at, before.probability)
    assert len(alerts(database)) == 1 and owner.index.count == len(owner.rows) == count


def test_death_before_the_commit_changes_nothing_and_the_repetition_does_it_all(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = take(database, crowd, person=7, label="P3")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("workers.match.check_step", _die)
        match_image(owner, database, settings, number)
    assert instance(database, number).state is ImageState.ENCODED and alerts(database) == []
    assert match_image(owner, database, settings, number) == "wrong_patient"
    assert len(alerts(database)) == 1


def test_death_between_commit_and_index_is_made_up_for_at_the_next_start(
    owner: IndexOwner,
    database: Database,
    settings: Settings,
    folder: DataDir,
    crowd: Crowd,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = take(database, crowd, person=7, label="P3")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, "add", _die)
        match_image(owner, database, settings, number)
    assert instance(database, number).state is ImageState.MATCHED and number not in owner.index
    owner.close()
    again = open_owner(database, settings, folder, NETWORK)
    assert number in again.index
    assert match_image(again, database, settings, number) == "MATCHED" and len(alerts(database)) == 1
    again.close()


@pytest.mark.parametrize("state", [ImageState.RECEIVED, ImageState.UNSUITABLE, ImageState.FAILED])
def test_only_encoded_images_are_matched(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, state: ImageState
) -> None:
    with database.write() as session:
        number = crowd.take(session, 7, "P3", state=state).id
    assert match_image(owner, database, settings, number) == state
    assert instance(database, number).state is state and number not in owner.index
    assert match_image(owner, database, settings, 10**6) == "gone"


def test_codes_of_other_weights_wait_until_they_are_made_again(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    with database.write() as session:
        number = crowd.take(session, 7, "P3", model_id="older").id
        earlier = crowd.take(session, 8, state=ImageState.MATCHED, model_id="older").id
    for each, said in ((number, OUTDATED), (earlier, ImageState.MATCHED)):
        assert match_image(owner, database, settings, each) == said
        assert each not in owner.index
    assert instance(database, number).state is ImageState.ENCODED
    with database.write() as session:
        session.get_one(Code, earlier).model_id = MODEL
    match_image(owner, database, settings, earlier)
    assert earlier in owner.index


def test_an_image_that_cannot_be_matched_becomes_a_dead_letter(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    number = take(database, crowd, 7)
    with database.write() as session:
        session.get_one(Code, number).embedding = np.full(64, np.nan, "<f4").tobytes()
    states = [match(owner, database, settings, number) for _ in range(settings.workers.max_attempts)]
    assert states == ["ENCODED"] * (settings.workers.max_attempts - 1) + ["FAILED"]
    assert "matching failed" in instance(database, number).reason
    with database.read() as session:
        assert session.scalar(select(func.count(Alert.id))) == 0


def test_the_match_worker_needs_no_torch() -> None:
    code = "import sys, workers.match, workers.similar; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0


def _die(*_: object) -> None:
    raise KeyboardInterrupt
