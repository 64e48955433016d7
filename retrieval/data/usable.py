"""Which images of a source can be used: those that can be read, are not blank, and belong to one patient only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from retrieval.data.cache import read_gray
from retrieval.data.manifest import ImageRow
from retrieval.data.parallel import parallel_map
from retrieval.data.source import Found, LeftOut
from retrieval.errors import ManifestInvalid

TWO_PATIENTS = "the same pixels are also filed under another patient"
SAME_PATIENT = "the same pixels as an earlier image of the patient"

_SMALLEST_SIDE = 64


@dataclass(frozen=True)
class _Seen:
    """What was seen of an image: `digest` of its pixels, or why it cannot be used."""

    digest: str = ""
    problem: str = ""


def usable(found: Found, quiet: bool = False) -> Found:
    """Read every image and leave out those that cannot be used, and whatever `without_repetitions` leaves out.

    Args:
        found: n images with those left out already.
        quiet: show no progress bar.
    """
    rows = found.rows
    with closing(parallel_map(_look, rows)) as looks:
        seen = list(track(looks, "reading images", len(rows), console=Console(stderr=True), disable=quiet))
    broken = [LeftOut(row.file, s.problem, broken=True) for row, s in zip(rows, seen, strict=True) if s.problem]
    kept = [row for row, s in zip(rows, seen, strict=True) if not s.problem]
    unique, repeated = without_repetitions(kept, [s.digest for s in seen if not s.problem])
    return Found(unique, (*found.left_out, *broken, *repeated))


def without_repetitions(
    rows: Sequence[ImageRow], digests: Iterable[str]
) -> tuple[tuple[ImageRow, ...], tuple[LeftOut, ...]]:
    """Leave out images whose pixels are filed under two patients (all of them), and repetitions of one patient's image.

    The former have a wrong label, the latter would be a pair that any method recognises.

    Args:
        rows: n images. digests: of the pixels of each.
    """
    by_pixels: dict[str, list[ImageRow]] = {}
    for row, digest in zip(rows, digests, strict=True):
        by_pixels.setdefault(digest, []).append(row)
    reasons: dict[int, str] = {}
    for same in by_pixels.values():
        if len({row.patient for row in same}) > 1:
            reasons |= {id(row): TWO_PATIENTS for row in same}
        else:
            reasons |= {id(row): SAME_PATIENT for row in same[1:]}
    kept = tuple(row for row in rows if id(row) not in reasons)
    return kept, tuple(LeftOut(row.file, reasons[id(row)]) for row in rows if id(row) in reasons)


def _look(row: ImageRow) -> _Seen:
    try:
        gray = read_gray(row.path)
    except ManifestInvalid:
        return _Seen(problem="it cannot be read" if row.path.exists() else "the file is missing")
    if min(gray.shape) < _SMALLEST_SIDE:
        return _Seen(problem=f"a side is shorter than {_SMALLEST_SIDE} pixels")
    if gray.min() == gray.max():
        return _Seen(problem="it is blank")
    return _Seen(digest=hashlib.sha256(repr(gray.shape).encode() + gray.tobytes()).hexdigest())
