"""The middle of a data set on the wire: its fragments found in what was read, or read straight to where they belong."""

from __future__ import annotations

import struct

# Type and length of a P-DATA-TF PDU; length, presentation context and control header of its one value.
HEAD = struct.Struct(">BxLLBB")
# Shorter fragments are faster read together and taken apart.
SHORTEST = 32 << 10
# Headers that one read can tell from the fragments around them; what is made for them is lost when little comes.
_MOST_HEADS = 16
_P_DATA_TF = 0x04
# Type and length of a PDU.
_PDU_HEAD = 6


class MiddleOfData:
    """What can be taken from the bytes at hand while they are the middle of one data set.

    That is: P-DATA-TF PDUs of one value each, a fragment of this presentation context's data set that is not the last.

    Args:
        data: what has come, from the first byte that is not used yet.
        rest: bytes of a fragment begun before that are still to come.
        longest: what a PDU may be long.

    Attributes:
        pieces: views of the fragments, in order.
        used: how many bytes of `data` are done with.
        rest: bytes of the last fragment that are still to come.
        head: the header of the last fragment that began, empty if none did.
        ended: whether something else follows; false also when too little has come to tell.
    """

    def __init__(self, data: memoryview, context_id: int, rest: int, longest: int) -> None:
        self.pieces: list[memoryview] = []
        self.used = 0
        self.rest = rest
        self.head = b""
        self.ended = False
        self._take(data)
        while not self.rest and self.used < len(data):
            if not self._begin(data, context_id, longest):
                return
            self._take(data)

    def release(self) -> None:
        """Let go of the bytes."""
        for piece in self.pieces:
            piece.release()

    def _take(self, data: memoryview) -> None:
        size = min(self.rest, len(data) - self.used)
        if size:
            self.pieces.append(data[self.used : self.used + size])
            self.used += size
            self.rest -= size

    def _begin(self, data: memoryview, context_id: int, longest: int) -> bool:
        at = self.used
        if len(data) - at < HEAD.size:
            # A shorter PDU is of another kind, or holds nothing.
            self.ended = data[at] != _P_DATA_TF or (
                len(data) - at >= _PDU_HEAD and struct.unpack_from(">L", data, at + 2)[0] < HEAD.size - _PDU_HEAD
            )
            return False
        kind, length, size, context, control = HEAD.unpack_from(data, at)
        plain = kind == _P_DATA_TF and length <= longest and size + 4 == length and size > 2
        if not plain or context != context_id or control & 3:
            self.ended = True
            return False
        self.head = bytes(data[at : at + HEAD.size])
        self.used += HEAD.size
        self.rest = size - 2
        return True


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
            elif taken and buffer[:taken] != self._head:
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
