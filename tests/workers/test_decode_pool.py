"""Decoders that crash, hang or eat memory: their own image fails, the next one does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from archive.models import WHOLE
from archive.progress import Picture
from config.settings import load_settings
from workers.decode_pool import DecodePool
from workers.decoder import Decoded, Order, Outcome, Unreadable

GOOD = Decoded(np.zeros((320, 320), np.uint8), WHOLE, Picture(1, 1, "", "frontal"), "")


def misbehave(order: Order) -> Outcome:
    """A decoder that does what its file is named for."""
    match order.source.name:
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(60)
        case "eat":
            return Unreadable(str(len(bytearray(1 << 33))), for_good=False)
        case "exit":
            os._exit(0)
        case "raise":
            raise ValueError("Doe^Jane")
        case "missing":
            order.source.read_bytes()
        case "modules":
            return Unreadable(" ".join(sorted(sys.modules)), for_good=True)
        case "pid":
            return Unreadable(str(os.getpid()), for_good=True)
    return GOOD


def order(name: str) -> Order:
    return Order(Path("/nowhere") / name, Path("/nowhere"), 1024, 1 << 20)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    settings = load_settings(Path("/nowhere"), environ={})
    options = settings.decoding.model_copy(update={"timeout_seconds": 1.5, "processes": 2, "max_pixels": 1 << 20})
    made = DecodePool(options, misbehave)
    yield made
    made.close()


def ask(pool: DecodePool, name: str) -> Outcome:
    return pool.outcome(pool.submit(order(name)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("segfault", "crashed (exit code -11)"),
        ("hang", "longer than 1.5 seconds"),
        ("eat", "more memory"),
        ("raise", "ValueError"),
        ("missing", "No such file"),
    ],
)
def test_a_bad_image_fails_alone(pool: DecodePool, name: str, says: str) -> None:
    bad, good = pool.submit(order(name)), pool.submit(order("good"))
    outcome = pool.outcome(bad)
    assert isinstance(outcome, Unreadable) and says in outcome.reason and not outcome.for_good
    assert isinstance(pool.outcome(good), Decoded)
    assert isinstance(ask(pool, "good"), Decoded)


def test_no_error_text_of_a_decoder_reaches_the_reason(pool: DecodePool) -> None:
    outcome = ask(pool, "raise")
    assert isinstance(outcome, Unreadable) and "Doe" not in outcome.reason


def test_decoders_load_no_network_library_and_no_database(pool: DecodePool) -> None:
    outcome = ask(pool, "modules")
    assert isinstance(outcome, Unreadable)
    assert not {"torch", "hnswlib", "celery"} & set(outcome.reason.split())


def test_a_decoder_killed_while_idle_is_replaced(pool: DecodePool) -> None:
    for _ in range(2):
        outcome = ask(pool, "pid")
        assert isinstance(outcome, Unreadable)
        os.kill(int(outcome.reason), signal.SIGKILL)
        time.sleep(0.3)
        assert isinstance(ask(pool, "good"), Decoded)


PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from config.settings import load_settings
from workers.decode_pool import DecodePool
from tests.workers.test_decode_pool import misbehave, order
if __name__ == "__main__":
    pool = DecodePool(load_settings(Path("/nowhere"), {{}}).decoding, misbehave)
    pool.submit(order("hang"))
    print(pool.outcome(pool.submit(order("pid"))).reason, flush=True)
    time.sleep(60)
"""


def test_no_decoder_outlives_a_killed_worker(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(root=str(Path(__file__).parents[2])))
    with _started([sys.executable, str(script)]) as parent:
        assert parent.stdout is not None
        idle = int(parent.stdout.readline())
        group = _children_of_group(parent.pid)
        assert idle in group and len(group) >= 3
        parent.kill()
        parent.wait()
        _wait(lambda: not _children_of_group(parent.pid))


@contextmanager
def _started(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _children_of_group(group: int) -> set[int]:
    """Living processes of a process group."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def _wait(done: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)
