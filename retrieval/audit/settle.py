"""From suspicions to findings that do not repeat each other: one misfiled image explains much of what surrounds it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable

from retrieval.audit.gallery import AuditGallery
from retrieval.audit.screen import QUIET
from retrieval.verdict import Verdict, VerdictKind

# Verdicts that an image's own label is wrong.
OF_LABEL = frozenset({VerdictKind.WRONG_PATIENT, VerdictKind.PRIOR_MISMATCH})

_Place = tuple[float, bool, int]


def settle(
    gallery: AuditGallery,
    suspects: Iterable[int],
    persons_alike: Callable[[int], Iterable[int]],
    judge: Callable[[int, frozenset[int]], Verdict],
    done: Callable[[], None] = lambda: None,
) -> dict[int, Verdict]:
    """Judge all suspects so that no image speaks for its label that is itself more likely to be misfiled.

    An image of Q under the label P contradicts P's images, makes P look like Q, and Q like P. So the findings that a
    label is wrong are taken from the most probable one downwards; each image so found is left out of the evidence about
    others, and whoever was compared with it is judged again. Of two images that contradict each other alone, the later
    one is the suspect. The result does not depend on the order of `suspects`.

    Args:
        suspects: rows of the gallery.
        persons_alike: the other persons that the image in a row is compared with.
        judge: the verdict about the image in a row without the evidence of other rows.
        done: called once for each suspect, when its first judgement is there.

    Returns:
        the verdicts other than *consistent* and *first seen*, by row, ascending.
    """
    left_out: set[int] = set()
    verdicts: dict[int, Verdict] = {}
    compared_with: defaultdict[int, set[int]] = defaultdict(set)
    waiting: list[_Place] = []

    def look(row: int) -> None:
        verdicts[row] = verdict = judge(row, frozenset(left_out))
        for person in persons_alike(row):
            compared_with[person].add(row)
        if verdict.kind in OF_LABEL:
            heapq.heappush(waiting, _place(row, verdict))

    for row in sorted(suspects):
        look(row)
        done()
    while waiting:
        place = heapq.heappop(waiting)
        row = -place[-1]
        verdict = verdicts[row]
        if row in left_out or verdict.kind not in OF_LABEL or place != _place(row, verdict):
            continue
        left_out.add(row)
        person = int(gallery.person[row])
        for other in sorted((compared_with[person] | set(gallery.of_person(person).tolist())) - left_out):
            look(other)
    return {row: verdicts[row] for row in sorted(verdicts) if verdicts[row].kind not in QUIET}


def _place(row: int, verdict: Verdict) -> _Place:
    """The order of heapq: the most probable first, then those that name the person shown, then the latest."""
    return (-verdict.probability, verdict.kind is not VerdictKind.WRONG_PATIENT, -row)
