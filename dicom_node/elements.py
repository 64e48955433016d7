"""Reads the data elements at the top of a data set, however deeply sequences lie in it, without recursion.

pydicom reads sequences by calling itself; a data set with sequences nested a thousand levels deep, which a few hundred
kilobytes can hold, ends it. What is read here goes to pydicom element by element, sequences that are too deep left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

UNDEFINED = 0xFFFFFFFF
# Levels of sequences that are handed to pydicom; real objects have five or so.
DEEPEST = 20
# Elements, items and delimiters that are looked at, at any depth: a second's work.
MOST_ELEMENTS = 500_000
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_LENGTH = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SPECIFIC_CHARACTER_SET = 0x00080005
_PIXELS = 0x7FE00010


@dataclass(frozen=True)
class _Head:
    tag: int
    vr: bytes
    length: int
    start: int


@dataclass
class _Level:
    """A sequence or an item that has begun: where it ends (None = at its delimiter), and how its content is encoded."""

    end: int | None
    implicit: bool
    opaque: bool = False


def read_elements(
    file: BinaryIO, implicit: bool, little: bool, wanted: Callable[[int], bool], ends: Callable[[int], bool]
) -> Dataset:
    """The wanted elements of a data set that begins where the file is.

    Args:
        implicit, little: how the data set is encoded.
        wanted: whether an element with this tag is kept; unless it is a sequence more than `DEEPEST` levels deep.
        ends: whether reading ends before an element with this tag.

    Raises:
        ValueError: the file ends within an element, lengths contradict each other, or there are more elements than
            `MOST_ELEMENTS`.
        OSError: the file cannot be read.
    """
    begin = file.tell()
    end = file.seek(0, 2)
    file.seek(begin)
    found: dict[int, RawDataElement] = {}
    numbers = count()
    while file.tell() + 8 <= end:
        head = _head(file, implicit, little)
        if ends(head.tag):
            break
        depth = _skip(file, head, implicit, little, end, numbers)
        if wanted(head.tag) and depth <= DEEPEST:
            found[head.tag] = _element(file, head, implicit, little)
    characters = found.get(_SPECIFIC_CHARACTER_SET)
    names = bytes(characters.value or b"").decode("latin-1").split("\\") if characters is not None else []
    encodings = convert_encodings([name.strip(" \0") for name in names] or "ISO_IR 6")
    dataset = Dataset({Tag(tag): element for tag, element in found.items()})
    dataset.set_original_encoding(implicit, little, encodings)
    return dataset


def _head(file: BinaryIO, implicit: bool, little: bool) -> _Head:
    order = "<" if little else ">"
    start = _exactly(file, 8)
    group, number = struct.unpack_from(f"{order}HH", start)
    tag = group << 16 | number
    if implicit or group == 0xFFFE:
        return _Head(tag, b"", struct.unpack_from(f"{order}L", start, 4)[0], file.tell())
    vr = start[4:6]
    if vr in _LONG_LENGTH:
        return _Head(tag, vr, struct.unpack(f"{order}L", _exactly(file, 4))[0], file.tell())
    return _Head(tag, vr, struct.unpack_from(f"{order}H", start, 6)[0], file.tell())


def _skip(file: BinaryIO, head: _Head, implicit: bool, little: bool, end: int, numbers: Iterator[int]) -> int:
    """Go behind an element; returns how deep the sequences in it are nested, 0 when it is none."""
    levels: list[_Level] = []
    _enter(file, head, levels, implicit, little, end)
    deepest = len(levels)
    if next(numbers) > MOST_ELEMENTS:
        raise ValueError("too many elements")
    while levels:
        if next(numbers) > MOST_ELEMENTS:
            raise ValueError("too many elements")
        at = file.tell()
        level = levels[-1]
        if level.end is not None and at >= level.end:
            if at > level.end:
                raise ValueError("an element is longer than what it lies in")
            levels.pop()
            continue
        inner = _head(file, level.implicit, little)
        if inner.tag in (_ITEM_END, _SEQUENCE_END):
            levels.pop()
        elif inner.tag == _ITEM and not level.opaque:
            _push(levels, inner, level.implicit, end)
        else:
            _enter(file, inner, levels, level.implicit, little, end)
        deepest = max(deepest, len(levels))
    # An item is a level of its own here.
    return (deepest + 1) // 2


def _enter(file: BinaryIO, head: _Head, levels: list[_Level], implicit: bool, little: bool, end: int) -> None:
    """Go behind an element, or into it when it is a sequence."""
    if head.length == UNDEFINED:
        # Of unknown kind: always implicit VR (PS3.5 6.2.2). Encapsulated pixels: items that hold no elements.
        opaque = head.vr in (b"OB", b"OW") or head.tag == _PIXELS
        levels.append(_Level(None, implicit or head.vr == b"UN", opaque))
    elif head.vr == b"SQ" or (implicit and head.tag != _PIXELS and _is_sequence(file, head, little)):
        _push(levels, head, implicit, end)
    else:
        if head.start + head.length > end:
            raise ValueError("an element is longer than its file")
        file.seek(head.start + head.length)


def _push(levels: list[_Level], head: _Head, implicit: bool, end: int) -> None:
    stop = None if head.length == UNDEFINED else head.start + head.length
    if stop is not None and stop > end:
        raise ValueError("a sequence is longer than its file")
    levels.append(_Level(stop, implicit))


def _is_sequence(file: BinaryIO, head: _Head, little: bool) -> bool:
    if head.length < 8:
        return False
    begins = file.read(4) == (b"\xfe\xff\x00\xe0" if little else b"\xff\xfe\xe0\x00")
    file.seek(head.start)
    return begins


def _element(file: BinaryIO, head: _Head, implicit: bool, little: bool) -> RawDataElement:
    """The element that was just skipped; the file is left behind it."""
    behind = file.tell()
    # A delimiter of eight bytes ends what has no length.
    stop = behind - 8 if head.length == UNDEFINED else behind
    file.seek(head.start)
    value = _exactly(file, max(0, stop - head.start))
    file.seek(behind)
    vr = head.vr.decode("latin-1") if head.vr else _vr(head.tag)
    return RawDataElement(Tag(head.tag), vr, len(value), value, head.start, implicit, little)


def _vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise ValueError("the file ends within an element")
    return content
