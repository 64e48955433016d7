"""Damaged data sets on the live listener and in the decoder: each gets an answer, nobody dies, hangs or grows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from itertools import islice
from pathlib import Path

import pytest
from pebble import ProcessPool
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from tests.fuzz.amount import DATASETS, GROWTH_BYTES, HANG_SECONDS, SEED, TIMEOUT, TRIES
from tests.fuzz.decoding import begin, read_and_decode
from tests.fuzz.mutation import mutated, spliced
from tests.fuzz.peer import Storing, Watched
from tests.fuzz.seeds import DX, datasets
from tests.listening import ListenerProcess

pytestmark = pytest.mark.timeout(TIMEOUT)

ANSWERS = {0x0000, 0xA900, 0xC210}
SENDERS = 4
# Data sets between two looks at the listener, each sender's on one association.
ROUND = 200
# The first ones load codecs and fill caches.
WARM = 200


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[ListenerProcess]:
    made = ListenerProcess(tmp_path / "data").start()
    yield made
    made.close()


def case(seed: int) -> tuple[UID, bytes]:
    """A transfer syntax and a data set in it that is damaged; damage falls on the header more often than on pixels."""
    chance = random.Random(seed)
    syntax, content = chance.choice(datasets())
    if chance.random() < 0.05:
        return syntax, spliced(content, chance.choice(datasets())[1], chance)
    head = len(content) if chance.random() < 0.3 else min(len(content), 700)
    # Of nothing at all, a sender sends nothing, and waits with the listener for the rest.
    return syntax, mutated(content[:head], chance) + content[head:] or b"\0"


def as_file(syntax: UID, content: bytes) -> bytes:
    """A DICOM file around a data set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DX, "1.2.3"
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, "1.2.3"
    meta.FileMetaInformationVersion = b"\0\1"
    buffer = BytesIO()
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue() + content


def test_damaged_data_sets_are_answered_by_the_listener(listener: ListenerProcess) -> None:
    watched = Watched(listener)
    answers: Counter[int] = Counter()
    begun = SEED * 10_000_000
    with ThreadPoolExecutor(SENDERS) as senders:
        for first in range(begun, begun + DATASETS, ROUND):
            # Made here: codecs that encode are not used by several threads at once.
            cases = {number: case(number) for number in range(first, min(first + ROUND, begun + DATASETS))}
            for found in senders.map(lambda share: answered(listener.port, share), shared(cases)):
                answers.update(found)
            if first == begun:
                watched.settle()
            watched.check(first)
    # The damage is neither too small to matter nor too large to get anywhere.
    assert len(answers) == len(ANSWERS), answers
    assert not any(listener.folder.incoming.iterdir())
    assert listener.stop() == 0
    print({f"0x{status:04X}": count for status, count in answers.items()})


def shared(cases: dict[int, tuple[UID, bytes]]) -> list[dict[int, tuple[UID, bytes]]]:
    """The cases dealt out to all senders."""
    return [dict(islice(cases.items(), number, None, SENDERS)) for number in range(SENDERS)]


def answered(port: int, cases: dict[int, tuple[UID, bytes]]) -> list[int]:
    """The answers to cases, on one association; one that does not come in time ends the test, with the case."""
    sender = Storing(port)
    answers = []
    for number, (syntax, content) in cases.items():
        try:
            status = sender.send(syntax, content)
        except (TimeoutError, AssertionError) as error:
            raise AssertionError(f"case {number}: {error}") from error
        assert status in ANSWERS, f"case {number}: 0x{status:04X}"
        answers.append(status)
    sender.close()
    return answers


def read_in(pool: ProcessPool, content: bytes) -> tuple[str, int]:
    """`read_and_decode` in a process of the pool, tried again where it takes too long."""
    for _ in range(TRIES - 1):
        with suppress(TimeoutError):
            return pool.schedule(read_and_decode, args=(content,), timeout=HANG_SECONDS).result()
    return pool.schedule(read_and_decode, args=(content,), timeout=HANG_SECONDS).result()


def test_damaged_data_sets_are_decoded_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A backtrace of a codec's would load 50 MiB of the interpreter's symbols.
    monkeypatch.setenv("RUST_BACKTRACE", "0")
    outcomes: Counter[str] = Counter()
    begun = SEED * 10_000_000
    with ProcessPool(max_workers=1, initializer=begin) as pool:
        assert pool.schedule(read_and_decode, args=(as_file(*datasets()[0]),)).result()[0] == "decoded"
        memory = 0
        for number in range(begun, begun + DATASETS):
            # A crash or a hang ends the test with the number of its case.
            try:
                outcome, used = read_in(pool, as_file(*case(number)))
            except Exception as error:
                raise AssertionError(f"case {number}: {type(error).__name__}") from error
            outcomes[outcome] += 1
            memory = used if number == begun + WARM else memory
            assert number <= begun + WARM or used - memory < GROWTH_BYTES, f"memory grew by {(used - memory) >> 20} MiB"
    assert len(outcomes) == 3, outcomes
    print(dict(outcomes))
