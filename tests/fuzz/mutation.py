"""Damages bytes in the ways that find faults in parsers; the same random state gives the same damage."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# Lengths and numbers at which parsers go wrong.
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_LONGEST_REPEAT = 4096

Mutator = Callable[[bytearray, random.Random], None]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four pieces of damage."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if damaged:
            chance.choice(_MUTATORS)(damaged, chance)
    return bytes(damaged)


def spliced(first: bytes, second: bytes, chance: random.Random) -> bytes:
    """The beginning of one and the end of another."""
    return first[: chance.randrange(len(first) + 1)] + second[chance.randrange(len(second) + 1) :]


def _flip_bit(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _set_byte(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] = chance.choice((0, 1, 0x20, 0x5C, 0x7F, 0x80, 0xFE, 0xFF))


def _set_number(content: bytearray, chance: random.Random) -> None:
    size = chance.choice((2, 4))
    if len(content) < size:
        return
    at = chance.randrange(len(content) - size + 1)
    value = chance.choice(_EDGES) & ((1 << 8 * size) - 1)
    content[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _nudge_number(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    content[at] = (content[at] + chance.choice((-2, -1, 1, 2))) & 0xFF


def _cut_end(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _cut_piece(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    del content[at : at + chance.randint(1, 16)]


def _repeat_piece(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    piece = content[at : at + chance.randint(1, 64)]
    content[at:at] = (piece * chance.choice((1, 2, 100)))[:_LONGEST_REPEAT]


def _insert_noise(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 8, 200)))


_MUTATORS: Sequence[Mutator] = (
    _flip_bit,
    _set_byte,
    _set_number,
    _set_number,
    _nudge_number,
    _cut_end,
    _cut_piece,
    _repeat_piece,
    _insert_noise,
)
