"""One misfiled image is one finding: what it stirs up around it is put down to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from retrieval.audit import screen
from retrieval.audit.gallery import AuditGallery
from retrieval.audit.pairs import Pairs
from retrieval.audit.screen import Neighbours, suspects
from retrieval.audit.settle import settle
from retrieval.errors import AuditImpossible
from retrieval.headers import Header, Headers
from retrieval.normalisation import levels
from retrieval.verdict import Evidence, Person, Rates, Verdict, VerdictKind, judge
from tests.people import NETWORK, Crowd

RATES = Rates(0.001, 0.002, 0.5)
LEAST = 0.02


def gallery_of(shown: list[int], filed: list[int], studies: list[int] | None = None) -> AuditGallery:
    """Images of persons `shown`, filed under the persons `filed`; each a study and exposure of its own."""
    crowd = Crowd(spread=0.2)
    vectors = np.stack([crowd.embedding(person) for person in shown])
    codes = np.stack([crowd.code(vector) for vector in vectors])
    numbers = np.arange(len(shown))
    return AuditGallery(
        instance=numbers + 1,
        person=np.array(filed),
        study=numbers if studies is None else np.array(studies),
        exposure=numbers,
        trusted=np.ones(len(shown), np.bool_),
        embedding=vectors,
        code=codes,
    )


def all_pairs(gallery: AuditGallery, floor: float = 0.5) -> Neighbours:
    cosine = gallery.embedding @ gallery.embedding.T
    first, second = np.nonzero(np.triu(cosine >= floor, 1) & (gallery.person[:, None] != gallery.person[None]))
    pairs = Pairs(first.astype(np.int32), second.astype(np.int32), cosine[first, second])
    return Neighbours.of(pairs, len(gallery))


class Judge:
    """Judges a gallery's rows as the product does, and counts."""

    def __init__(self, gallery: AuditGallery, neighbours: Neighbours) -> None:
        self.gallery = gallery
        self.neighbours = neighbours
        self.calls = 0

    def person(self, row: int, number: int, left_out: frozenset[int]) -> Person | None:
        rows = [other for other in self.gallery.evidence_for(row, number).tolist() if other not in left_out]
        if not rows:
            return None
        vectors, codes = self.gallery.embedding, self.gallery.code
        found = NETWORK.comparer.compare(vectors[row], codes[row], vectors[rows], codes[rows])
        return Person(number, found.log_ratio)

    def __call__(self, row: int, left_out: frozenset[int]) -> Verdict:
        self.calls += 1
        own = self.person(row, int(self.gallery.person[row]), left_out)
        others = [self.person(row, number, left_out) for number in self.alike(row)]
        return judge(Evidence(own, tuple(one for one in others if one), self.gallery.persons - 1), RATES, LEAST)

    def alike(self, row: int) -> list[int]:
        return self.neighbours.persons(self.gallery, row)


def suspected(
    gallery: AuditGallery, neighbours: Neighbours, headers: Headers | None = None, least: float = LEAST
) -> list[int]:
    comparer = NETWORK.comparer
    known = levels(gallery.embedding, gallery.person, None, comparer.calibration.population)
    judged = suspects(gallery, neighbours, comparer, RATES, least, known, headers or Headers())
    return [i for i, is_one in enumerate(judged) if is_one]


def findings(gallery: AuditGallery) -> dict[int, tuple[VerdictKind, int | None]]:
    neighbours = all_pairs(gallery)
    rows = suspected(gallery, neighbours)
    judged = Judge(gallery, neighbours)
    found = settle(gallery, rows, judged.alike, judged)
    return {row: (verdict.kind, verdict.other) for row, verdict in found.items()}


def crowd_of(persons: int, images: int = 3) -> tuple[list[int], list[int]]:
    shown = [person for person in range(1, persons + 1) for _ in range(images)]
    return shown, list(shown)


@pytest.mark.parametrize(("rows", "pairs"), [(2048, 4096), (7, 4096), (2048, 5), (1, 1)])
def test_everybody_is_judged_as_one_by_one_however_many_at_once(
    rows: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "_ROWS", rows)
    monkeypatch.setattr(screen, "_PAIRS", pairs)
    shown, filed = crowd_of(12)
    gallery = gallery_of([*shown, 7, 8, 50], [*filed, 9, -3, 50])
    neighbours = all_pairs(gallery)
    judged = Judge(gallery, neighbours)
    loud = [row for row in range(len(gallery)) if judged(row, frozenset()).kind not in screen.QUIET]
    assert suspected(gallery, neighbours) == loud
    assert 0 < len(loud) < len(gallery)


def test_a_well_filed_archive_has_no_findings() -> None:
    assert findings(gallery_of(*crowd_of(40))) == {}


def test_one_misfiled_image_is_one_finding_that_names_the_person_shown() -> None:
    shown, filed = crowd_of(40)
    shown.append(7)
    filed.append(9)
    assert findings(gallery_of(shown, filed)) == {120: (VerdictKind.WRONG_PATIENT, 7)}


def test_of_two_contradicting_images_only_the_misfiled_one_is_found() -> None:
    shown, filed = crowd_of(40)
    shown += [41, 7]
    filed += [41, 41]
    assert findings(gallery_of(shown, filed)) == {121: (VerdictKind.WRONG_PATIENT, 7)}


def test_two_images_of_a_stranger_that_agree_with_each_other_make_two_records_look_like_one() -> None:
    shown, filed = crowd_of(40)
    shown += [7, 7]
    filed += [9, 9]
    found = findings(gallery_of(shown, filed))
    assert set(found) == {18, 19, 20, 120, 121}
    assert {kind for kind, _ in found.values()} == {VerdictKind.DUPLICATE_RECORD}
    assert {found[18][1], found[120][1]} == {9, 7}


def test_a_swap_is_two_findings() -> None:
    shown, filed = crowd_of(40)
    shown += [7, 9]
    filed += [9, 7]
    assert findings(gallery_of(shown, filed)) == {
        120: (VerdictKind.WRONG_PATIENT, 7),
        121: (VerdictKind.WRONG_PATIENT, 9),
    }


def test_two_records_of_one_person_are_found_from_either_side() -> None:
    shown, filed = crowd_of(40)
    filed = [99 if row in (18, 19) else person for row, person in enumerate(filed)]
    found = findings(gallery_of(shown, filed))
    assert found == {
        18: (VerdictKind.DUPLICATE_RECORD, 7),
        19: (VerdictKind.DUPLICATE_RECORD, 7),
        20: (VerdictKind.DUPLICATE_RECORD, 99),
    }


def test_headers_that_differ_speak_against_a_second_record() -> None:
    shown, filed = crowd_of(40, 4)
    filed = [999 if row in (26, 27) else person for row, person in enumerate(filed)]
    gallery = gallery_of(shown, filed)
    neighbours = all_pairs(gallery)
    born = {7: Header("F", "19500203"), 999: Header("F", "19500203")}
    assert suspected(gallery, neighbours, Headers(born)) == suspected(gallery, neighbours) == [24, 25, 26, 27]
    differing = Headers(born | {999: Header("M", "19881117")})
    # Two images that agree as well as they can, e^(11.7 · 2 / 1.7), among 40 other persons; 2 second records in 1,000,
    # and headers that both entries make 1,250 times less likely. Fewer persons would be less of a chance, and louder.
    odds = RATES.duplicate * np.exp(11.7 * 2 / 1.7 + differing.log_ratio(7, 999)) / 40
    expected = odds / (1 + odds)
    assert expected == pytest.approx(0.037, abs=0.001)
    assert suspected(gallery, neighbours, differing, least=0.9 * expected) == [24, 25, 26, 27]
    assert suspected(gallery, neighbours, differing, least=1.1 * expected) == []


def test_the_order_of_the_suspects_does_not_matter() -> None:
    shown, filed = crowd_of(30, 2)
    shown += [7, 8, 41]
    filed += [9, 9, 12]
    gallery = gallery_of(shown, filed)
    neighbours = all_pairs(gallery)
    judged = Judge(gallery, neighbours)
    rows = suspected(gallery, neighbours)
    results = [
        settle(gallery, order, judged.alike, judged)
        for order in itertools.islice(itertools.permutations(rows), 0, 200, 37)
    ]
    assert len(results[0]) == 3
    assert all(result == results[0] for result in results)


def test_images_of_one_study_say_nothing_about_each_other() -> None:
    shown, filed = crowd_of(20, 2)
    shown += [50, 51]
    filed += [50, 50]
    together = gallery_of(shown, filed, [*range(40), 40, 40])
    assert findings(together) == {}
    apart = gallery_of(shown, filed)
    assert findings(apart) == {41: (VerdictKind.PRIOR_MISMATCH, None)}


def test_evidence_leaves_out_the_same_exposure_the_same_study_and_doubtful_labels() -> None:
    gallery = AuditGallery(
        instance=np.arange(1, 7),
        person=np.array([5, 5, 5, 5, 5, 6]),
        study=np.array([1, 1, 2, 3, 4, 5]),
        exposure=np.array([0, 1, 0, 3, 4, 5]),
        trusted=np.array([True, True, True, False, True, True]),
        embedding=np.zeros((6, 2), np.float32),
        code=np.zeros((6, 1), np.uint8),
    )
    assert gallery.evidence_for(0, 5).tolist() == [4]
    assert gallery.evidence_for(0, 6).tolist() == [5]
    assert gallery.of_person(7).tolist() == []
    assert gallery.shown_before.tolist() == [False, False, True, False, False, False]


def test_a_gallery_out_of_order_is_refused() -> None:
    with pytest.raises(AuditImpossible):
        AuditGallery(
            *(np.array([2, 1]) for _ in range(4)),
            np.ones(2, np.bool_),
            np.zeros((2, 2), np.float32),
            np.zeros((2, 1), np.uint8),
        )
