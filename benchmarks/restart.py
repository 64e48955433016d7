"""The owner of the index started over a whole archive: from nothing in memory to the first answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from sqlalchemy import insert

from archive.database import Database, open_database
from archive.gallery import load_probe
from archive.models import Code, Instance, Patient, Series, Study, now
from archive.states import ImageState
from benchmarks.crowd import BITS, DIM, IMAGES_OF_A_PERSON, Population
from benchmarks.engines import MODEL, anonymous_memory, median_milliseconds
from config.paths import data_dir
from config.settings import load_settings
from retrieval.comparison import Comparer
from retrieval.index import rerank
from tests.calibrations import straight
from workers.index_owner import Network, open_owner

RERANKED = 200
_CHUNK = 20_000
NETWORK = Network(MODEL, DIM, BITS, Comparer(straight(MODEL, BITS // 2, -8.0, 24.0, -4.0, -4.3, 11.7), None))


@dataclass(frozen=True)
class Started:
    """What a start came to.

    Attributes:
        seconds: until the first answer. memory: bytes, index and everything beside it.
        rerank_ms: median milliseconds to fetch 200 candidates' codes and rank them. candidates_ms: the whole question.
    """

    seconds: float
    memory: int
    rerank_ms: float
    candidates_ms: float


def fill_archive(root: Path, crowd: Population) -> None:
    """An archive in a new data folder: every image of a crowd matched, ids from 1, and one probe that waits."""
    folder = data_dir(root)
    folder.create()
    database = open_database(load_settings(root, environ={}), folder)
    database.migrate()
    count = len(crowd.gallery)
    persons = -(-count // IMAGES_OF_A_PERSON)
    _insert(database, Patient, range(1, persons + 1), lambda i: {"id": i, "patient_id": f"P{i}", "issuer": ""})
    everyone = range(1, count + 2)
    owner = {i: min((i - 1) // IMAGES_OF_A_PERSON + 1, persons) for i in everyone}
    moment = now()
    _insert(database, Study, everyone, lambda i: {"id": i, "study_instance_uid": f"1.{i}", "patient_pk": owner[i]})
    _insert(database, Series, everyone, lambda i: {"id": i, "series_instance_uid": f"2.{i}", "study_pk": i})
    _insert(database, Instance, everyone, lambda i: _instance(i, owner[i], moment, waits=i == count + 1))
    vectors, codes = (
        np.concatenate([known, asked[:1]])
        for known, asked in ((crowd.gallery, crowd.probes), (crowd.gallery_codes, crowd.probe_codes))
    )
    _insert(
        database,
        Code,
        everyone,
        lambda i: {
            "instance_pk": i,
            "model_id": MODEL,
            "embedding": vectors[i - 1].astype("<f4").tobytes(),
            "code": codes[i - 1].tobytes(),
            "attention": bytes(100),
            "attention_rows": 10,
        },
    )
    database.close()


def started(root: Path) -> Started:
    """Start the owner in a new process, as a killed worker is started again."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_start, (root,))


def _start(root: Path) -> Started:
    folder = data_dir(root)
    settings = load_settings(root, environ={})
    database = open_database(settings, folder)
    before, began = anonymous_memory(), time.perf_counter()
    owner = open_owner(database, settings, folder, NETWORK)
    with database.read() as session:
        probe = load_probe(session, len(owner.rows) + 1)
    assert probe is not None and len(owner.candidates(probe)) == settings.index.keep
    seconds, memory = time.perf_counter() - began, anonymous_memory() - before
    found = owner.search(probe.embedding, RERANKED)
    rerank_ms = median_milliseconds(
        lambda _: rerank(probe.code, found, owner.rows.at(found.ids)[1], RERANKED), range(300)
    )
    candidates_ms = median_milliseconds(lambda _: owner.candidates(probe), range(100))
    owner.close()
    database.close()
    return Started(seconds, memory, rerank_ms, candidates_ms)


def _instance(number: int, patient: int, moment: Any, waits: bool) -> dict[str, Any]:
    return {
        "id": number,
        "sop_instance_uid": f"3.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "series_pk": number,
        "patient_pk": patient,
        "file_digest": f"{number:064}",
        "size": 1,
        "received_at": moment,
        "due_at": moment,
        "state": ImageState.ENCODED if waits else ImageState.MATCHED,
        "matched_at": None if waits else moment,
    }


def _insert(database: Database, table: type, numbers: range, row: Callable[[int], dict[str, Any]]) -> None:
    for some in track(list(_chunks(numbers)), f"filling {table.__name__}", transient=True):
        with database.write() as session:
            session.execute(insert(table), [row(number) for number in some])


def _chunks(numbers: range) -> Iterator[range]:
    for start in range(0, len(numbers), _CHUNK):
        yield numbers[start : start + _CHUNK]
