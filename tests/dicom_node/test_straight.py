from __future__ import annotations

import random

import pytest

from dicom_node.straight import HEAD, SHORTEST, ExpectedData, fragment_bytes
from tests.dicom_node.sending import pdu


def head_of(length: int, context: int = 1, control: int = 0) -> bytes:
    return pdu((control, bytes(length)), context=context)[: HEAD.size]


def read(stream: bytes, room: bytearray, rest: int, head: bytes, most: int) -> tuple[ExpectedData, bytes, int]:
    """What `ImageSocket.read_expected` does, with a stream instead of a connection: also how much was taken of it."""
    expected = ExpectedData(memoryview(room), rest, head)
    count = min(most, len(stream), sum(map(len, expected.buffers)))
    at = 0
    for buffer in expected.buffers:
        taken = min(len(buffer), count - at)
        buffer[:taken] = stream[at : at + taken]
        at += taken
    other = expected.sort(count)
    expected.release()
    return expected, other, count


@pytest.mark.parametrize("seed", range(30))
def test_what_belongs_to_the_data_set_lies_together_and_the_rest_is_given_back(seed: int) -> None:
    chance = random.Random(seed)
    length = chance.randrange(SHORTEST, 3 * SHORTEST)
    head = head_of(length)
    content = chance.randbytes(12 * length)
    fragments = [content[at : at + length] for at in range(0, len(content), length)]
    last = chance.randbytes(chance.randrange(1, 2 * length))
    tail = pdu((2, last)) + chance.randbytes(chance.randrange(100))
    first = chance.randrange(length + 1)
    stream = fragments[0][-first:] if first else b""
    stream += b"".join(pdu((0, one)) for one in fragments[1:]) + tail
    found, rest, other = b"", first, b""
    while not other and stream:
        room = bytearray(chance.randrange(1, 5 * length))
        expected, other, taken = read(stream, room, rest, head, chance.randrange(1, 4 * length))
        found += room[: expected.filled]
        rest, stream = expected.rest, stream[taken:]
        given_back = other + stream
        assert expected.begun or expected.filled or other, "each read leads on"
        if other and given_back != tail:
            # A header that came in parts: the next read, into the connection's memory, completes it.
            assert rest == 0 and len(other) < HEAD.size and given_back.startswith(head)
            other, stream = b"", given_back
    assert found == (fragments[0][-first:] if first else b"") + b"".join(fragments[1:])
    assert (other or stream) + (stream if other else b"") == tail


@pytest.mark.parametrize(
    "follows",
    [
        head_of(SHORTEST, control=2),
        head_of(SHORTEST, context=3),
        head_of(SHORTEST + 1),
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    ],
    ids=["the last", "another context", "another length", "an abort"],
)
def test_whatever_differs_from_what_was_expected_is_given_back_whole(follows: bytes) -> None:
    room = bytearray(4 * SHORTEST)
    after = bytes(range(256)) * 10
    stream = b"\x01" * SHORTEST + follows + after
    expected, other, taken = read(stream, room, SHORTEST, head_of(SHORTEST), len(stream))
    assert taken == len(stream) and other == follows + after
    assert expected.filled == SHORTEST and expected.rest == 0 and not expected.begun


@pytest.mark.parametrize("control", [0, 2], ids=["the next", "the last"])
@pytest.mark.parametrize("cut", range(1, HEAD.size + 1))
def test_a_header_that_comes_in_parts_is_given_back_until_it_is_whole(cut: int, control: int) -> None:
    room, head = bytearray(2 * SHORTEST), head_of(SHORTEST, control=control)
    expected, other, _ = read(bytes(SHORTEST) + head[:cut], room, SHORTEST, head_of(SHORTEST), 2 * SHORTEST)
    if cut == HEAD.size and control == 0:
        assert (other, expected.rest, expected.begun) == (b"", SHORTEST, True)
    else:
        assert (other, expected.rest, expected.begun) == (head[:cut], 0, False)
    assert expected.filled == SHORTEST


def test_a_room_smaller_than_the_fragment_is_filled_and_the_rest_still_to_come() -> None:
    room = bytearray(100)
    expected, other, taken = read(bytes(range(200)), room, 150, head_of(SHORTEST), 1000)
    assert (expected.filled, expected.rest, other, taken) == (100, 50, b"", 100) and room == bytes(range(100))


def test_a_fragment_is_two_bytes_shorter_than_its_value() -> None:
    assert fragment_bytes(head_of(12_345)) == 12_345
