"""The next fragments of a data set read straight to where they belong, if they go on as they began."""

from __future__ import annotations

import struct

# Type and length of a P-DATA-TF PDU; length, presentation context and control header of its one value.
HEAD = struct.Struct(">BxLLBB")
# Headers that one read can tell from the fragments around them.
_MOST_HEADS = 64
# Shorter fragments are faster read together and taken apart.
SHORTEST = 8 << 10


class ExpectedData:
    """Buffers for one read of bytes that are most likely the middle of a data set.

    Senders cut a data set into fragments of one length, so where the next headers will be is known beforehand: the
    bytes of the data set come to lie together, without a copy. What turns out to be something else is given back.

    Args:
        room: for bytes of the data set.
        rest: bytes of a fragment begun before that are still to come.
        head: the last fragment's header, which the next ones are expected to have (PS3.8 9.3.5), of `SHORTEST` bytes or
            more.

    Attributes:
        buffers: to be filled in this order.
        filled: after `sort`, how many bytes of `room` are of the data set.
        rest: then, how many bytes of the last fragment are still to come.
        begun: then, whether a PDU began.
    """

    def __init__(self, room: memoryview, rest: int, head: bytes) -> None:
        self._head = head
        self._fragment = fragment_bytes(head)
        self.filled = 0
        self.rest = rest
        self.begun = False
        self.buffers: list[memoryview] = []
        heads = memoryview(bytearray(HEAD.size * _MOST_HEADS))
        at = 0
        for begin in range(0, len(heads), HEAD.size):
            end = at + min(rest, len(room) - at)
            self.buffers.append(room[at:end])
            if end - at < rest:
                break
            self.buffers.append(heads[begin : begin + HEAD.size])
            at, rest = end, self._fragment
            if at == len(room):
                break

    def sort(self, count: int) -> bytes:
        """Say what the first `count` bytes of the buffers were; returns those that are not what was expected."""
        for number, buffer in enumerate(self.buffers):
            taken = min(count, len(buffer))
            if number % 2 == 0:
                self.filled += taken
                self.rest -= taken
            elif taken and buffer != self._head:
                return b"".join(self.buffers[number:])[:count]
            elif taken:
                self.rest = self._fragment
                self.begun = True
            count -= taken
            if not count:
                break
        return b""

    def release(self) -> None:
        """Let go of the room."""
        for buffer in self.buffers:
            buffer.release()


def fragment_bytes(head: bytes) -> int:
    """How long a fragment is, from its header."""
    size: int = HEAD.unpack(head)[2]
    return size - 2
