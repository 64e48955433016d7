"""Whatever happens in whatever order, the index ends up as one that is made anew from the database."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from sqlalchemy import select

from archive.changes import note_changes
from archive.database import Database, open_database
from archive.gallery import load_probe
from archive.links import Author, LinkRefused, join, unjoin
from archive.models import Alert, Code, Instance
from archive.states import ChangeKind, ImageState
from config.paths import data_dir
from config.settings import Settings, load_settings
from tests.people import NETWORK, Crowd
from workers.index_owner import IndexOwner, open_owner
from workers.match import match

PEOPLE = 6
QA = Author("qa", "10.0.0.9")


class Gallery(RuleBasedStateMachine):
    """Images come, are matched once or twice, corrected, re-encoded, removed; labels join and part; owners restart."""

    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory(prefix="lungprint-any-order-")
        self.folder = data_dir(Path(self._scratch.name) / "data")
        self.folder.create()
        shipped = load_settings(self.folder.root, environ={})
        self.settings: Settings = shipped.model_copy(
            update={"index": shipped.index.model_copy(update={"snapshot_every": 3})}
        )
        self.database: Database = open_database(self.settings, self.folder)
        self.database.migrate()
        self.crowd = Crowd()
        self.owner: IndexOwner = self._opened()

    def teardown(self) -> None:
        self.owner.close()
        self.database.close()
        self._scratch.cleanup()

    def _opened(self) -> IndexOwner:
        return open_owner(self.database, self.settings, self.folder, NETWORK)

    @rule(target=images, people=st.lists(st.integers(0, PEOPLE - 1), min_size=1, max_size=4), label=st.booleans())
    def images_arrive(self, people: list[int], label: bool) -> object:
        with self.database.write() as session:
            taken = [self.crowd.take(session, p, None if label else f"P{(p + 1) % PEOPLE}").id for p in people]
        return multiple(*taken)

    @rule(number=images, times=st.integers(1, 2))
    def the_match_task_runs(self, number: int, times: int) -> None:
        for _ in range(times):
            match(self.owner, self.database, self.settings, number)

    @rule(number=images, person=st.integers(0, PEOPLE - 1))
    def a_corrected_image_is_encoded_anew(self, number: int, person: int) -> None:
        embedding = self.crowd.embedding(person)
        with self.database.write() as session:
            if session.get(Instance, number) is None:
                return
            code = session.get_one(Code, number)
            code.embedding, code.code = embedding.tobytes(), self.crowd.code(embedding).tobytes()
            note_changes(session, [number], ChangeKind.IMAGE)

    @rule(number=images, other=images)
    def an_image_moves_to_the_label_of_another(self, number: int, other: int) -> None:
        with self.database.write() as session:
            image, target = session.get(Instance, number), session.get(Instance, other)
            if image is not None and target is not None:
                image.patient_pk = target.patient_pk
                image.series.study.patient_pk = target.patient_pk
                note_changes(session, [number], ChangeKind.PERSON)

    @rule(number=images)
    def an_image_is_removed(self, number: int) -> None:
        with self.database.write() as session:
            named = (Alert.instance_pk == number) | (Alert.other_instance_pk == number)
            for alert in session.scalars(select(Alert).where(named)):
                session.delete(alert)
            image = session.get(Instance, number)
            if image is not None:
                # Its number may come again: nothing of it stays in the way of the next image.
                series = image.series
                session.delete(session.get_one(Code, number))
                session.flush()
                session.delete(image)
                session.flush()
                session.delete(series)
                note_changes(session, [number], ChangeKind.PURGED)

    @rule(first=images, second=images, apart=st.booleans())
    def two_labels_are_joined_or_parted(self, first: int, second: int, apart: bool) -> None:
        with self.database.write() as session:
            one, other = session.get(Instance, first), session.get(Instance, second)
            if one is None or other is None:
                return
            try:
                (unjoin if apart else join)(session, one.patient_pk, other.patient_pk, QA)
            except LinkRefused:
                return

    @rule()
    def the_index_catches_up(self) -> None:
        self.owner.catch_up()

    @rule(torn=st.booleans())
    def the_owner_stops_and_another_starts(self, torn: bool) -> None:
        self.owner.close()
        if torn:
            for graph in self.folder.index.glob("*/graph.bin"):
                graph.write_bytes(graph.read_bytes()[:-1])
        self.owner = self._opened()

    @rule()
    def the_owner_is_killed_and_another_starts(self) -> None:
        # The kernel lets go of the lock; nothing is written.
        self.owner._ownership.close()
        self.owner = self._opened()

    @invariant()
    def it_is_what_a_rebuild_gives(self) -> None:
        self.owner.catch_up()
        with self.database.read() as session:
            waiting = session.scalars(select(Instance.id).where(Instance.state == ImageState.MATCHED)).all()
            probes = [probe for number in waiting if (probe := load_probe(session, number)) is not None]
        owner = self.owner
        assert owner.index.ids.tolist() == sorted(owner.rows.ids.tolist()) == sorted(p.instance_id for p in probes)
        assert owner.rows.person_count == len({probe.person for probe in probes})
        if not probes:
            return
        ids = np.array([probe.instance_id for probe in probes])
        persons, codes = owner.rows.at(ids)
        assert persons.tolist() == [probe.person for probe in probes]
        assert np.array_equal(codes, np.stack([probe.code for probe in probes]))
        np.testing.assert_allclose(owner.embeddings(ids), np.stack([p.embedding for p in probes]), atol=1e-5)
        assert sorted(owner.search(probes[0].embedding, len(ids) + 5).ids.tolist()) == sorted(ids.tolist())


TestAnyOrder = Gallery.TestCase
TestAnyOrder.settings = settings(
    max_examples=12, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck)
)
