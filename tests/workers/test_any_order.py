"""Whatever comes in whatever order, and again, and however the process ends: all is as if built from the database."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from archive import progress
from archive.corrections import check_corrected
from archive.database import Database, open_database
from archive.files import ImageFiles
from archive.intake import Header, StoredFile, register
from archive.leftovers import finish, unfinished
from archive.links import Author, LinkRefused, join, merge, unjoin
from archive.models import Alert, Instance, Patient, PatientLink, User, Variant
from archive.purge import GONE, Subject, purge
from archive.review import DecisionRefused, dispose
from archive.states import AlertState, ImageState, LinkKind, PurgeKind, Role
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from tests.people import MODEL, NETWORK, Crowd
from tests.workers.test_links import contents
from workers.index_owner import IndexOwner, open_owner
from workers.match import match_image

LABELS = st.sampled_from(["A", "B", "C", "D", ""])
PERSONS = st.integers(0, 3)
PLACE = st.integers(0, 1 << 16)
DECISIONS = st.sampled_from([AlertState.SAME_PERSON, AlertState.NOT_AN_ERROR, AlertState.CONFIRMED, AlertState.OPEN])
QA = Author("qa")


@pytest.fixture(scope="module", autouse=True)
def _template(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty database with the newest schema, migrated once."""
    Archive.template = tmp_path_factory.mktemp("template") / "archive.sqlite3"
    made = Database(f"sqlite:///{Archive.template}")
    made.migrate()
    with made.write() as session:
        session.add(User(name="qa", password_hash="-", role=Role.QA))
    made.close()


class Archive(RuleBasedStateMachine):
    """A system without its processes: every step is what a task, a page or a command does."""

    template: Path
    kind = "hnsw"

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder, self.count, self.crowd = data_dir(self.root / "data"), 0, Crowd()
        self.shows: dict[str, int] = {}  # which person a file shows
        self.folder.create()
        shutil.copy(self.template, self.folder.database)
        self.settings = self._settings(self.folder)
        self.database = open_database(self.settings, self.folder)
        self.files = ImageFiles(self.folder)
        self.files.prepare()
        self.owner = self._open(self.folder)

    def teardown(self) -> None:
        self.owner.close()
        self.database.close()
        shutil.rmtree(self.root)

    def _settings(self, folder: DataDir) -> Settings:
        found = load_settings(folder.root, environ={})
        index = found.index.model_copy(update={"kind": self.kind, "snapshot_every": 5})
        return found.model_copy(update={"index": index})

    def _open(self, folder: DataDir) -> IndexOwner:
        return open_owner(self.database, self.settings, folder, NETWORK, wait_seconds=0.0)

    def _send(self, uid: str, study: str, label: str, person: int) -> None:
        self.count += 1
        content = f"{self.count}".encode()
        digest = hashlib.sha256(content).hexdigest()
        self.shows[digest] = person
        arrived = self.folder.incoming / digest
        arrived.write_bytes(content)
        header = Header("1.2", uid, "1.2.840.10008.1.2.1", study, f"{study}.1", label)
        with self.files.arriving():
            self.files.keep(arrived, digest)
            register(self.database, self.settings, header, StoredFile(digest, len(content)))

    def _images(self, *states: ImageState) -> list[Instance]:
        with self.database.read() as session:
            wanted = select(Instance).order_by(Instance.id)
            return list(session.scalars(wanted.where(Instance.state.in_(states)) if states else wanted))

    def _patient(self, label: str) -> int | None:
        with self.database.read() as session:
            known = select(Patient.id).where(Patient.patient_id == label, ~Patient.issuer.startswith(GONE))
            return session.scalar(known.order_by(Patient.id).limit(1))

    @initialize()
    def some_patients(self) -> None:
        for person, label in enumerate("ABCAB"):
            self._send(f"1.{self.count}", f"2.{self.count}", label, person % 3)
        self.encode_all()
        self.match_all()

    @rule(label=LABELS, person=PERSONS, study=st.integers(0, 5))
    def an_image_comes(self, label: str, person: int, study: int) -> None:
        self._send(f"1.{self.count}", f"2.s{study}", label, person)

    @rule(place=PLACE, label=LABELS, same=st.booleans())
    def a_version_of_an_image_comes(self, place: int, label: str, same: bool) -> None:
        if images := self._images():
            image = images[place % len(images)]
            with self.database.read() as session:
                study = session.get_one(Instance, image.id).series.study.study_instance_uid
            person = self.shows[image.file_digest]
            self._send(image.sop_instance_uid, study, label, person if same else person + 1)

    @rule()
    def encode_all(self) -> None:
        for image in self._images(ImageState.RECEIVED):
            self.encode(image)

    @rule(place=PLACE)
    def encode_one_again(self, place: int) -> None:
        if images := self._images(ImageState.ENCODED, ImageState.MATCHED):
            self.encode(images[place % len(images)])

    def encode(self, image: Instance) -> None:
        # An image of a person has always the same embedding; so have its versions.
        vector = Crowd(day=image.id).embedding(self.shows[image.file_digest])
        code = self.crowd.code(vector)
        pixels = hashlib.sha256(f"{image.id} {self.shows[image.file_digest]}".encode()).hexdigest()
        with self.database.write() as session:
            encoding = progress.Encoding(MODEL, vector, code, np.zeros((6, 6), np.float32))
            progress.record_encoding(session, image.id, progress.Picture(9, 9, pixels, "PA"), encoding)
            check_corrected(session, self.settings, [image.id])

    @rule()
    def match_all(self) -> None:
        for image in self._images(ImageState.ENCODED):
            match_image(self.owner, self.database, self.settings, image.id)
        with self.database.read() as session:
            again = progress.to_judge_again(session, 100)
        for number in again:
            match_image(self.owner, self.database, self.settings, number)

    @rule(place=PLACE)
    def match_one_again(self, place: int) -> None:
        number = place % 40
        match_image(self.owner, self.database, self.settings, number)

    @rule(one=LABELS, another=LABELS)
    def records_are_joined(self, one: str, another: str) -> None:
        first, second = self._patient(one), self._patient(another)
        if first is None or second is None:
            return
        try:
            with self.database.write() as session:
                join(session, first, second, QA)
        except LinkRefused:
            return

    @rule(one=LABELS, another=LABELS)
    def records_are_separated(self, one: str, another: str) -> None:
        first, second = self._patient(one), self._patient(another)
        if first is not None and second is not None:
            with self.database.write() as session:
                unjoin(session, first, second, QA)

    @rule(place=PLACE, decision=DECISIONS)
    def qa_decides(self, place: int, decision: AlertState) -> None:
        with self.database.read() as session:
            alerts = session.scalars(select(Alert.id)).all()
        if not alerts:
            return
        try:
            with self.database.write() as session:
                dispose(session, alerts[place % len(alerts)], session.scalars(select(User)).one(), decision, "a note")
        except DecisionRefused:
            return

    @rule(old=LABELS, new=LABELS)
    def another_system_merges_or_changes_an_id(self, old: str, new: str) -> None:
        try:
            with self.database.write() as session:
                merge(session, (old, ""), (new, ""), QA)
        except LinkRefused:
            return

    @rule(label=st.sampled_from("ABCD"), finished=st.booleans())
    def a_patient_is_purged(self, label: str, finished: bool) -> None:
        purge(self.database, Subject(PurgeKind.PATIENT, label), QA, b"key")
        if finished:
            self.purges_are_finished()

    @rule(study=st.integers(0, 5))
    def a_study_is_purged(self, study: int) -> None:
        purge(self.database, Subject(PurgeKind.STUDY, f"2.s{study}"), QA, b"key")
        self.purges_are_finished()

    @rule()
    def purges_are_finished(self) -> None:
        with self.database.read() as session:
            waiting = unfinished(session)
        for number in waiting:
            finish(self.database, self.files, number)

    @rule(cleanly=st.booleans())
    def the_owner_starts_again(self, cleanly: bool) -> None:
        if cleanly:
            self.owner.close()
        else:
            # As the kernel does with a process that was killed.
            self.owner._ownership.close()
        self.owner = self._open(self.folder)

    @rule()
    def a_snapshot_is_taken(self) -> None:
        self.owner.snapshot()

    @precondition(lambda self: self.count)
    @invariant()
    def the_index_is_what_a_rebuild_gives(self) -> None:
        self.owner.catch_up()
        other = data_dir(self.root / "other")
        other.create()
        rebuilt = self._open(other)
        expected = contents(rebuilt)
        rebuilt._ownership.close()
        assert contents(self.owner) == expected
        assert len(self.owner.rows) == self.owner.index.count == len(self._images(ImageState.MATCHED))
        assert self.owner.rows.person_count == len({person for person, _, _ in expected.values()})

    @invariant()
    def joined_labels_are_those_that_links_connect(self) -> None:
        with self.database.read() as session:
            patients = session.scalars(select(Patient).order_by(Patient.id)).all()
            links = session.scalars(select(PatientLink).where(PatientLink.ended_at.is_(None))).all()
        group = {patient.id: {patient.id} for patient in patients}
        for link in links:
            if link.kind is LinkKind.SAME_PERSON:
                together = group[link.first_pk] | group[link.second_pk]
                for label in together:
                    group[label] = together
        for patient in patients:
            together = group[patient.id]
            assert patient.person_pk == (min(together) if len(together) > 1 else None)

    @invariant()
    def every_file_belongs_to_an_image_and_every_image_has_its_file(self) -> None:
        with self.database.read() as session:
            named = {*session.scalars(select(Instance.file_digest)), *session.scalars(select(Variant.file_digest))}
            waiting = bool(unfinished(session))
        stored = {path.stem for path in self.folder.images.rglob("*.dcm")}
        assert named <= stored and (waiting or named == stored)

    @invariant()
    def the_database_is_sound(self) -> None:
        with closing(sqlite3.connect(self.folder.database)) as plain:
            assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
            empty = "SELECT count(*) FROM {0} WHERE id NOT IN (SELECT {1} FROM {2})"
            for table, column, inside in (("series", "series_pk", "instances"), ("studies", "study_pk", "series")):
                assert plain.execute(empty.format(table, column, inside)).fetchone() == (0,)
            wrong = (
                "SELECT count(*) FROM instances i JOIN series s ON s.id = i.series_pk JOIN studies t "
                "ON t.id = s.study_pk WHERE t.patient_pk <> i.patient_pk"
            )
            assert plain.execute(wrong).fetchone() == (0,)


Archive.TestCase.settings = hypothesis_settings(
    max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestAnyOrder = Archive.TestCase
