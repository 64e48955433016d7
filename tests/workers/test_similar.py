"""Similar cases are what a scan by hand finds, in its order, and never the same patient's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest

from archive.database import Database
from archive.gallery import load_probe
from archive.states import ImageState
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
