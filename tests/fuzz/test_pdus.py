"""Damaged PDUs on the live listener: it neither dies nor hangs nor grows, and serves the next honest sender."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.spool import SMALL
from dicom_node.straight import HEAD, SHORTEST
from tests.dicom_node.sending import command, pdu
from tests.fuzz.amount import PDUS, SEED, TIMEOUT
from tests.fuzz.mutation import mutated, spliced
from tests.fuzz.peer import Watched, fire
from tests.fuzz.seeds import ABORT, LONG_IMAGE, RELEASE_REQUEST, association_request, long_image, pdus
from tests.listening import ListenerProcess

pytestmark = pytest.mark.timeout(TIMEOUT)

SENDERS = 4
# Cases between two looks at the listener.
ROUND = 400
# What once was, or might be, answered wrongly; each line a name and bytes in hexadecimal.
KNOWN = Path(__file__).with_name("known.txt")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[ListenerProcess]:
    made = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_IDLE_SECONDS": "4"}).start()
    yield made
    made.close()


def case(seed: int) -> tuple[bytes, int]:
    """What one connection sends, and how many PDUs of it are damaged."""
    chance = random.Random(seed)
    if chance.random() < 0.2:
        return mutated(association_request(), chance), 1
    sound = pdus()
    content, damaged = association_request(), 0
    for number in range(chance.randint(1, 6)):
        following = sound[number] if chance.random() < 0.5 else chance.choice(sound)
        if chance.random() < 0.75:
            damaged += 1
            following = (
                spliced(following, chance.choice(sound), chance)
                if chance.random() < 0.1
                else mutated(following, chance)
            )
        content += following
    return content, damaged


def test_damaged_pdus_harm_nobody(listener: ListenerProcess) -> None:
    watched = Watched(listener)
    sent, seed = 0, SEED * 10_000_000
    with ThreadPoolExecutor(SENDERS) as senders:
        while sent < PDUS:
            cases = [case(number) for number in range(seed, seed + ROUND)]
            for number, done in enumerate(senders.map(lambda one: _problem(listener.port, one[0]), cases)):
                assert not done, f"case {seed + number}: {done}"
            seed += ROUND
            first = sent == 0
            sent += sum(damaged for _, damaged in cases)
            if first:
                watched.settle()
            watched.check(seed)
    assert listener.stop() == 0
    print(f"{sent} damaged PDUs")


def long_case(seed: int) -> bytes:
    """A long image in fragments of one length, as they are read straight into a file, one to three of them damaged."""
    chance = random.Random(seed)
    content, length = long_image(), chance.randint(SHORTEST, 3 * SHORTEST)
    fragments = [content[at : at + length] for at in range(0, len(content), length)]
    stream = [pdu((3, command(LONG_IMAGE)))]
    stream += [pdu((2 if number == len(fragments) else 0, one)) for number, one in enumerate(fragments, 1)]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(SMALL // length, len(stream))
        # The header says what the rest is; damage to pixels is no damage to a PDU.
        stream[at] = mutated(stream[at][: HEAD.size], chance) + stream[at][HEAD.size :]
    end = chance.choice((b"", RELEASE_REQUEST, ABORT, stream[-1], stream[1]))
    return association_request() + b"".join(stream) + end


def test_damaged_fragments_of_long_images_harm_nobody(listener: ListenerProcess) -> None:
    watched = Watched(listener)
    seeds = range(SEED * 10_000_000, SEED * 10_000_000 + max(40, PDUS // 50))
    with ThreadPoolExecutor(SENDERS) as senders:
        for begin in range(seeds.start, seeds.stop, ROUND):
            chosen = range(begin, min(begin + ROUND, seeds.stop))
            problems = senders.map(lambda seed: _problem(listener.port, long_case(seed)), chosen)
            for seed, problem in zip(chosen, problems, strict=True):
                assert not problem, f"long case {seed}: {problem}"
            if begin == seeds.start:
                watched.settle()
            watched.check(begin)
    assert listener.stop() == 0
    assert not list(listener.folder.incoming.iterdir()), "what was half received is removed"


def test_known_troublemakers_harm_nobody(listener: ListenerProcess) -> None:
    watched = Watched(listener)
    for line in KNOWN.read_text().splitlines():
        name, _, content = line.partition(" ")
        problem = _problem(listener.port, bytes.fromhex(content))
        assert not problem, f"{name}: {problem}"
        problem = _problem(listener.port, association_request() + bytes.fromhex(content))
        assert not problem, f"{name} in an association: {problem}"
    watched.check(2)


def _problem(port: int, content: bytes) -> str:
    try:
        fire(port, content)
    except TimeoutError as error:
        return f"no end after {content[:40].hex()}... ({error})"
    return ""
