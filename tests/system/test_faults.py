"""What an administrator fears: killed processes, a wiped queue, a torn index. Nothing acknowledged is ever lost."""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from archive.database import Database, open_database
from archive.files import ImageFiles
from archive.models import Alert, Code, Instance
from archive.states import ImageState
from config.broker import redis_url
from config.paths import data_dir
from config.settings import load_settings
from dicom_node.sender import SendResult, send
from tests.system.running import RunningSystem
from tests.system.stream import Sent, make_stream

STREAM = 300
VICTIMS = ("listener", "encode", "match", "redis", "maintenance", "supervisor")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> list[Sent]:
    return make_stream(tmp_path_factory.mktemp("stream"), persons=STREAM // 5, exams=5, swaps=6)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path / "system", {"LUNGPRINT_WORKERS_RECONCILE_SECONDS": "2"})
    running.start()
    yield running
    running.close()


class Sender(threading.Thread):
    """Sends the stream in the background and goes on trying while the listener is away."""

    def __init__(self, system: RunningSystem, stream: list[Sent]) -> None:
        super().__init__(daemon=True)
        self._system = system
        self._stream = stream
        self.results: list[SendResult] = []

    def run(self) -> None:
        port = self._system.dicom_port
        paths = [sent.path for sent in self._stream]
        send(paths, "127.0.0.1", port, "LUNGPRINT", on_progress=self.results.append, attempts=20, patience=120.0)

    @property
    def acknowledged(self) -> set[str]:
        return {result.sop_instance_uid for result in self.results if result.status == 0x0000}


def opened(system: RunningSystem) -> Database:
    return open_database(load_settings(system.root, environ={}), data_dir(system.root))


def check_nothing_lost(system: RunningSystem, acknowledged: set[str], stream: list[Sent]) -> None:
    """Every acknowledged image is stored as sent, has one verdict, and no finding was reported twice."""
    database = opened(system)
    files = ImageFiles(data_dir(system.root))
    with database.read() as session:
        rows = {row.sop_instance_uid: row for row in session.scalars(select(Instance))}
        assert acknowledged <= rows.keys()
        assert {row.state for row in rows.values()} <= {ImageState.MATCHED, ImageState.UNSUITABLE}
        matched = [row for row in rows.values() if row.state is ImageState.MATCHED]
        assert all(row.matched_at is not None for row in matched)
        assert session.scalar(select(func.count(Code.instance_pk))) == len(matched)
        findings = Counter(tuple(row) for row in session.execute(select(Alert.instance_pk, Alert.kind)))
        assert max(findings.values(), default=1) == 1
    for sent in stream:
        if sent.sop_instance_uid in acknowledged:
            assert pixel_bytes(files.path(rows[sent.sop_instance_uid].file_digest)) == pixel_bytes(sent.path)
    database.close()


def pixel_bytes(path: Path) -> str:
    """Digest of everything after the file meta information, where sender and receiver may differ."""
    content = path.read_bytes()
    group_length = int.from_bytes(content[140:144], "little")
    return hashlib.sha256(content[144 + group_length :]).hexdigest()


def test_acknowledged_images_survive_every_kill(system: RunningSystem, stream: list[Sent]) -> None:
    chance = random.Random(7)
    sender = Sender(system, stream)
    sender.start()
    for victim in VICTIMS:
        time.sleep(chance.uniform(0.5, 2.5))
        system.kill(victim)
        if victim == "supervisor":
            time.sleep(1.0)
            system.start()
    sender.join(240)
    assert not sender.is_alive()
    assert sender.acknowledged == {sent.sop_instance_uid for sent in stream}
    system.wait_until_settled(STREAM)
    check_nothing_lost(system, sender.acknowledged, stream)
    assert system.ask("status")["dead_letters"] == 0


def test_an_emptied_queue_heals(system: RunningSystem, stream: list[Sent]) -> None:
    import redis

    client = redis.Redis.from_url(redis_url(load_settings(system.root, environ={}), data_dir(system.root)))
    sender = Sender(system, stream)
    sender.start()
    while sender.is_alive():
        client.flushall()
        time.sleep(1.0)
    client.close()
    system.wait_until_settled(STREAM)
    check_nothing_lost(system, {sent.sop_instance_uid for sent in stream}, stream)


def test_a_torn_index_is_rebuilt_and_says_so(system: RunningSystem, stream: list[Sent]) -> None:
    first = stream[:60]
    send([sent.path for sent in first], "127.0.0.1", system.dicom_port, "LUNGPRINT")
    system.wait_until_settled(len(first))
    assert system.stop() == 0
    snapshots = [
        path for path in data_dir(system.root).index.rglob("*") if path.is_file() and path.stat().st_size > 4096
    ]
    assert snapshots, "a clean stop writes a snapshot"
    for path in snapshots:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    system.start()
    logged = (data_dir(system.root).logs / "match.log").read_text()
    assert "rebuil" in logged.lower()
    # The second visit finds its priors in the rebuilt index: its swaps are seen.
    found = system.ask("similar", str(first[0].path), "-k", "5")
    assert found


def test_disk_space_is_respected(tmp_path: Path, stream: list[Sent]) -> None:
    system = RunningSystem(tmp_path / "full", {"LUNGPRINT_DICOM_MIN_FREE_MIB": str(1 << 40)})
    system.start()
    try:
        results = send([sent.path for sent in stream[:3]], "127.0.0.1", system.dicom_port, "LUNGPRINT")
        assert [result.status for result in results] == [0xA700] * 3
        assert sum(system.ask("status")["images"].values()) == 0
    finally:
        system.close()


def test_a_second_system_in_the_same_folder_is_refused(system: RunningSystem) -> None:
    command = system.command("up", "--dicom-port", "0", "--web-port", "0")
    second = subprocess.run(command, env=system.environ, capture_output=True, check=False, timeout=60)
    assert second.returncode != 0
    assert b"Traceback" not in second.stderr
    assert system.ask("status")["images"]["RECEIVED"] == 0
