"""The verdict gets exactly the images it may rely on: its label's earlier ones, others' ones, and nothing in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event
from sqlalchemy.orm import Session

from archive.alerts import Finding, conflict_key, label_key, pixels_key, raise_alert
from archive.database import Database
from archive.gallery import (
    Probe,
    count_outdated,
    embeddings_of,
    images_of,
    load_probe,
    pages,
    priors,
    same_pixels,
)
from archive.models import Instance
from archive.states import AlertKind, AlertState, ImageState
from archive.whole_gallery import whole_gallery
from config.settings import Settings
from tests.filed import add_code, file_image

MODEL = "model"


def vector(number: int) -> NDArray[np.float32]:
    made = np.random.default_rng(number).normal(size=8).astype(np.float32)
    return made / np.linalg.norm(made)


def add(
    session: Session,
    patient: str,
    study: str = "",
    state: ImageState = ImageState.MATCHED,
    pixels: str = "",
    model: str = MODEL,
) -> Instance:
    image = file_image(session, patient, study, state, pixels=pixels)
    add_code(session, image, vector(image.id), np.array([image.id % 256, 255], np.uint8), model)
    return image


def probe_of(session: Session, image: Instance) -> Probe:
    found = load_probe(session, image.id)
    assert found is not None
    return found


def test_a_probe_carries_its_code_and_label(database: Database) -> None:
    with database.write() as session:
        image = add(session, "P1", state=ImageState.ENCODED)
        found = probe_of(session, image)
        assert found.person == found.patient_pk == image.patient_pk and found.is_labelled
        assert (found.state, found.model_id) == (ImageState.ENCODED, MODEL)
        np.testing.assert_array_equal(found.embedding, vector(image.id))
        np.testing.assert_array_equal(found.code, [image.id, 255])
        assert load_probe(session, 99) is None
        bare = probe_of(session, file_image(session, "P1"))
        assert bare.model_id is None and not len(bare.embedding) and not len(bare.code)


def test_priors_are_matched_images_of_the_label_in_other_studies(database: Database) -> None:
    with database.write() as session:
        prior = add(session, "P1")
        add(session, "P2")
        add(session, "P1", state=ImageState.ENCODED)
        add(session, "P1", model="another")
        add(session, "P1", study="same")
        found = priors(session, probe_of(session, add(session, "P1", study="same")), MODEL)
        assert found.instance.tolist() == [prior.id]
        assert found.person.tolist() == [prior.patient_pk]
        np.testing.assert_array_equal(found.embedding, [vector(prior.id)])
        np.testing.assert_array_equal(found.code, [[prior.id, 255]])


def test_an_image_without_patient_id_is_a_person_of_its_own(database: Database) -> None:
    with database.write() as session:
        one, two = add(session, ""), add(session, " ")
        probe = probe_of(session, two)
        assert probe.person == -two.id and not probe.is_labelled
        assert len(priors(session, probe, MODEL)) == 0
        found = images_of(session, [-one.id], probe, MODEL)
        assert (found.instance.tolist(), found.person.tolist()) == ([one.id], [-one.id])


def test_all_images_of_other_persons_are_found_but_not_those_of_the_probes_study(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.gallery.MOST_VALUES", 4)
    with database.write() as session:
        many = [add(session, f"Q{number // 2}").id for number in range(20)]
        unlabelled = add(session, "", study="same")
        probe = probe_of(session, add(session, "", study="same"))
        persons = {probe_of(session, session.get_one(Instance, number)).person for number in many}
        found = images_of(session, [*persons, -unlabelled.id], probe, MODEL)
        assert sorted(found.instance.tolist()) == many


@pytest.mark.parametrize(
    ("kind", "probability", "state", "trusted"),
    [
        (AlertKind.WRONG_PATIENT, 0.9, AlertState.OPEN, False),
        (AlertKind.PRIOR_MISMATCH, 0.9, AlertState.HELD, False),
        (AlertKind.WRONG_PATIENT, 0.9, AlertState.UNDER_INVESTIGATION, False),
        (AlertKind.WRONG_PATIENT, 0.1, AlertState.CONFIRMED, False),
        (AlertKind.WRONG_PATIENT, 0.1, AlertState.OPEN, True),
        (AlertKind.WRONG_PATIENT, 0.9, AlertState.NOT_AN_ERROR, True),
        (AlertKind.WRONG_PATIENT, 0.9, AlertState.SAME_PERSON, True),
        (AlertKind.DUPLICATE_RECORD, 0.9, AlertState.CONFIRMED, True),
    ],
)
def test_an_image_whose_label_is_in_doubt_speaks_for_nobody(
    database: Database, settings: Settings, kind: AlertKind, probability: float, state: AlertState, trusted: bool
) -> None:
    with database.write() as session:
        doubted = add(session, "P1")
        finding = Finding(label_key(doubted.id), kind, probability, doubted.id, doubted.patient_pk)
        raise_alert(session, settings, finding).state = state
        own, other = probe_of(session, add(session, "P1")), probe_of(session, add(session, "P2"))
        assert (
            len(priors(session, own, MODEL)) == len(images_of(session, [own.person], other, MODEL)) - 1 == int(trusted)
        )


def test_repeated_pixels_put_the_later_label_in_doubt_but_a_taken_uid_does_not(
    database: Database, settings: Settings
) -> None:
    with database.write() as session:
        first, copy = add(session, "P1"), add(session, "P2")
        for key in (pixels_key(copy.id), conflict_key(first.id, "a" * 64)):
            image, other = (copy, first) if key.startswith("pixels") else (first, copy)
            finding = Finding(
                key, AlertKind.DUPLICATE_IMAGE, 1.0, image.id, image.patient_pk, other.id, other.patient_pk
            )
            raise_alert(session, settings, finding)
        assert len(priors(session, probe_of(session, add(session, "P1")), MODEL)) == 1
        assert len(priors(session, probe_of(session, add(session, "P2")), MODEL)) == 0


def test_pages_hold_the_whole_gallery_once(database: Database) -> None:
    with database.write() as session:
        wanted = [add(session, f"P{number}").id for number in range(25)]
        add(session, "P1", state=ImageState.ENCODED)
        add(session, "P1", model="another")
        found = list(pages(session, MODEL, size=10))
        assert [len(page.instance) for page in found] == [10, 10, 5]
        assert np.concatenate([page.instance for page in found]).tolist() == wanted
        assert found[0].code[3].tolist() == [wanted[3], 255]
        assert count_outdated(session, MODEL) == 1
        assert embeddings_of(session, [wanted[7], 999]).instance.tolist() == [wanted[7]]


@pytest.mark.parametrize("read", [pages, partial(whole_gallery, newest=10**6)])
def test_a_page_ends_where_it_is_full_and_nothing_is_sorted(
    database: Database, read: Callable[[Session, str], Iterator[object]]
) -> None:
    """A million images in pages of thousands would be sorted hundreds of times."""
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def _(_connection: object, _cursor: object, statement: str, values: Any, *_rest: object) -> None:
        asked.append((statement, values))

    with database.read() as session:
        assert not list(read(session, MODEL))
        queries = [(statement, values) for statement, values in asked if statement.startswith("SELECT")]
        assert queries
        for statement, values in queries:
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            assert "TEMP B-TREE" not in str(plan)


def test_the_same_pixels_are_found_under_another_label_first_then_under_another_study(database: Database) -> None:
    with database.write() as session:
        add(session, "P1", study="same", pixels="x")
        probe = probe_of(session, add(session, "P1", study="same", pixels="x"))
        assert same_pixels(session, probe) is None
        earlier = add(session, "P1", study="earlier", pixels="x")
        twin = same_pixels(session, probe)
        assert twin is not None and twin.instance_id == earlier.id
        add(session, "P2", pixels="x", state=ImageState.ENCODED)
        elsewhere = add(session, "P2", pixels="x")
        twin = same_pixels(session, probe)
        assert twin is not None and (twin.instance_id, twin.person) == (elsewhere.id, elsewhere.patient_pk)
        assert same_pixels(session, probe_of(session, add(session, "P3"))) is None
