"""Similar cases are what a scan by hand finds, in its order, and never the same patient's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from sqlalchemy import select

from archive.database import Database
from archive.gallery import load_probe
from archive.models import Instance, Patient
from archive.states import ImageState
from cli.stored_gallery import StoredGallery
from config.paths import DataDir
from config.settings import Settings
from retrieval.codes import findings_half, hamming, identity_half
from tests.people import NETWORK, Crowd
from workers.index_owner import IndexOwner, open_owner
from workers.similar import SimilarImpossible, similar

CROWD = Crowd()


@pytest.fixture
def owner(database: Database, settings: Settings, folder: DataDir) -> Iterator[IndexOwner]:
    """Twenty people with two images each; images 2n+1 and 2n+2 belong to person n, findings are n % 4 ones."""
    with database.write() as session:
        for person in range(20):
            for _ in range(2):
                CROWD.take(session, person, state=ImageState.MATCHED, findings=(1 << person % 4) - 1)
    opened = open_owner(database, settings, folder, NETWORK)
    yield opened
    opened.close()


def test_by_findings_is_an_exact_scan_with_ties_by_cosine(owner: IndexOwner, database: Database) -> None:
    found = similar(owner, database, instance=1, k=15)
    with database.read() as session:
        images = [probe for number in range(1, 41) if (probe := load_probe(session, number))]
    probe, others = images[0], images[2:]
    expected = sorted(
        others,
        key=lambda image: (
            int(hamming(findings_half(image.code), findings_half(probe.code))),
            -float(image.embedding @ probe.embedding),
        ),
    )
    assert [entry["instance"] for entry in found] == [image.instance_id for image in expected[:15]]
    assert [entry["hamming"] for entry in found] == [0] * 8 + [1] * 7
    assert len(similar(owner, database, instance=1, k=500)) == 38


def test_by_person_is_by_cosine_with_the_probability_of_one_person(owner: IndexOwner, database: Database) -> None:
    with database.write() as session:
        double = CROWD.take(session, 7, "another label", state=ImageState.MATCHED).id
    found = similar(owner, database, instance=double, k=5, by="person")
    assert {found[0]["instance"], found[1]["instance"]} == {15, 16}
    cosines = [entry["cosine"] for entry in found]
    assert cosines == sorted(cosines, reverse=True)
    assert found[1]["probability"] > 0.9 > 0.5 > found[2]["probability"]
    with database.read() as session:
        one, two = load_probe(session, double), load_probe(session, found[0]["instance"])
    assert one is not None and two is not None
    assert found[0]["hamming"] == int(hamming(identity_half(one.code), identity_half(two.code)))


@pytest.mark.parametrize("by", ["findings", "person"])
def test_images_of_the_same_patient_are_left_out(
    owner: IndexOwner, database: Database, by: Literal["findings", "person"]
) -> None:
    for number, other in ((1, 2), (16, 15), (40, 39)):
        found = {entry["instance"] for entry in similar(owner, database, instance=number, k=40, by=by)}
        assert found == set(range(1, 41)) - {number, other}


def test_an_image_encoded_elsewhere_is_compared_with_everybody(owner: IndexOwner, database: Database) -> None:
    embedding = CROWD.embedding(7)
    code = CROWD.code(embedding, findings=1)
    vector, bits = (base64.b64encode(part.tobytes()).decode() for part in (3 * embedding, code))
    by_person = similar(owner, database, embedding=vector, code=bits, k=2, by="person")
    assert {entry["instance"] for entry in by_person} == {15, 16}
    assert all(-1 <= entry["cosine"] <= 1 for entry in by_person)
    assert {entry["hamming"] for entry in similar(owner, database, embedding=vector, code=bits, k=10)} == {0}


@pytest.mark.parametrize("by", ["findings", "person"])
def test_pages_follow_each_other(owner: IndexOwner, database: Database, by: Literal["findings", "person"]) -> None:
    whole = similar(owner, database, instance=1, k=38, by=by)
    pages = [similar(owner, database, instance=1, k=9, offset=offset, by=by) for offset in range(0, 54, 9)]
    assert [(e["instance"], e["hamming"]) for page in pages for e in page] == [
        (e["instance"], e["hamming"]) for e in whole
    ]
    assert [len(page) for page in pages] == [9, 9, 9, 9, 2, 0]
    assert similar(owner, database, instance=1, offset=5001, by=by) == []


@pytest.mark.parametrize("by", ["findings", "person"])
def test_the_same_patient_can_be_let_in_or_asked_for_alone(
    owner: IndexOwner, database: Database, by: Literal["findings", "person"]
) -> None:
    everybody = {entry["instance"] for entry in similar(owner, database, instance=1, k=50, by=by, patient="all")}
    assert everybody == set(range(2, 41))
    assert [entry["instance"] for entry in similar(owner, database, instance=1, by=by, patient="same")] == [2]
    probe = CROWD.embedding(3)
    vector, bits = (base64.b64encode(part.tobytes()).decode() for part in (probe, CROWD.code(probe)))
    with database.read() as session:
        stored = load_probe(session, 7)
    assert stored is not None
    found = similar(owner, database, embedding=vector, code=bits, k=40, by=by, person=stored.person)
    assert {entry["instance"] for entry in found} == set(range(1, 41)) - {7, 8}


@pytest.mark.parametrize("few", [3, 2000])
@pytest.mark.parametrize("by", ["findings", "person"])
def test_a_filter_takes_out_of_the_whole_list_what_does_not_fit(
    owner: IndexOwner,
    database: Database,
    by: Literal["findings", "person"],
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.similar.FEW", few)
    with database.write() as session:
        for patient in session.scalars(select(Patient)):
            patient.sex = "F" if patient.id % 3 else "M"
        women = set(session.scalars(select(Instance.id).join(Instance.patient).where(Patient.sex == "F")))
    whole = [entry["instance"] for entry in similar(owner, database, instance=5, k=40, by=by)]
    expected = [number for number in whole if number in women]
    found = [
        entry["instance"]
        for offset in (0, 7, 14)
        for entry in similar(owner, database, instance=5, k=7, offset=offset, by=by, where={"sex": "F"})
    ]
    assert found == expected[:21]
    assert len(expected) > 21
    assert similar(owner, database, instance=5, by=by, where={"sex": "O"}) == []


def test_the_database_alone_answers_as_the_index_does(owner: IndexOwner, database: Database) -> None:
    stored = StoredGallery(database, NETWORK)
    choices: tuple[dict[str, Any], ...] = (
        {"by": "person"},
        {"by": "findings", "offset": 5},
        {"by": "person", "patient": "same"},
        {"by": "findings", "where": {"since": "2000-01-01"}},
    )
    for options in choices:
        mine = similar(owner, database, instance=9, k=8, **options)
        theirs = similar(stored, database, instance=9, k=8, **options)
        assert [entry["instance"] for entry in mine] == [entry["instance"] for entry in theirs]


def test_an_empty_gallery_has_no_similar_cases(database: Database, settings: Settings, folder: DataDir) -> None:
    empty = open_owner(database, settings, folder, NETWORK)
    with database.write() as session:
        number = CROWD.take(session, 1).id
    assert similar(empty, database, instance=number) == similar(empty, database, instance=number, by="person") == []
    empty.close()


def test_what_cannot_be_compared_is_refused_in_plain_words(owner: IndexOwner, database: Database) -> None:
    with database.write() as session:
        foreign = CROWD.take(session, 1, model_id="older").id
    good = base64.b64encode(np.ones(64, "<f4").tobytes()).decode()
    zero = base64.b64encode(np.zeros(64, "<f4").tobytes()).decode()
    bits = base64.b64encode(bytes(8)).decode()
    refused: list[dict[str, Any]] = [
        {"instance": 999},
        {"instance": foreign},
        {},
        {"embedding": "%%%", "code": bits},
        {"embedding": good, "code": good},
        {"embedding": zero, "code": bits},
        {"embedding": good[:-8], "code": bits},
    ]
    for arguments in refused:
        with pytest.raises(SimilarImpossible):
            similar(owner, database, **arguments)
