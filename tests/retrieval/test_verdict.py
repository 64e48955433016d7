"""The verdict table row by row, worked out by hand, and what must hold for any evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retrieval.errors import EvidenceInvalid
from retrieval.verdict import CORRELATION, Evidence, Person, Rates, Verdict, VerdictKind, judge, together

RATES = Rates(misfiled=0.001, duplicate=0.002, owner_in_gallery=0.5)
FLOOR = 0.02
# A busy machine is no error.
patient = settings(deadline=None, max_examples=60)

log_ratios = st.lists(st.floats(-12, 14), min_size=1, max_size=6)
rates = st.builds(Rates, st.floats(1e-6, 0.01), st.floats(1e-6, 0.02), st.floats(0.05, 0.95))


def person(number: int, *log_ratios: float) -> Person:
    return Person(number, np.array(log_ratios, np.float64))


def evidence(own: list[float] | None, others: list[list[float]], persons: int) -> Evidence:
    return Evidence(
        None if own is None else person(0, *own),
        tuple(person(number, *ratios) for number, ratios in enumerate(others, start=1)),
        max(persons, len(others)),
    )


def test_own_priors_disagree_and_another_person_agrees() -> None:
    found = judge(evidence([math.log(0.01)], [[math.log(50_000)]], 100), RATES, FLOOR)
    # g = 50000/100 = 500: right 0.997·0.01, second record 0.002·0.01·500, misfiled 0.0005·500 + 0.0005.
    expected = (0.25 + 0.0005) / (0.00997 + 0.01 + 0.25 + 0.0005)
    assert (found.kind, found.other) == (VerdictKind.WRONG_PATIENT, 1)
    assert found.probability == found.misfiled == pytest.approx(expected)


def test_own_priors_disagree_and_nobody_agrees() -> None:
    found = judge(evidence([math.log(0.01)], [[math.log(0.02)]], 100), RATES, FLOOR)
    # g = 0.0002: right 0.00997, second record 4e-9, misfiled 1e-7 + 0.0005.
    assert (found.kind, found.other) == (VerdictKind.PRIOR_MISMATCH, None)
    assert found.probability == pytest.approx((1e-7 + 0.0005) / (0.00997 + 4e-9 + 1e-7 + 0.0005))


@pytest.mark.parametrize(
    ("others", "named"), [([120.0], 1), ([110.0, 10.0], 1), ([60.0, 60.0], None), ([90.0, 30.0], None)]
)
def test_a_person_is_named_who_is_likelier_than_nobody_in_the_gallery(others: list[float], named: int | None) -> None:
    """Together the others of 100 persons are always worth 1.2, and misfiled from the gallery 0.0006; from elsewhere
    0.0005, so that five sixths of them must be one person's."""
    found = judge(evidence([math.log(0.001)], [[math.log(one)] for one in others], 100), RATES, FLOOR)
    assert found.kind is (VerdictKind.WRONG_PATIENT if named else VerdictKind.PRIOR_MISMATCH)
    assert found.other == named
    assert found.probability == pytest.approx(0.0011 / (0.000997 + 0.002 * 0.001 * 1.2 + 0.0011))


def test_own_priors_agree_and_another_person_agrees_too() -> None:
    found = judge(evidence([math.log(1000)], [[math.log(60_000)], [math.log(20_000)]], 100), RATES, FLOOR)
    # g = 800: right 997, second record 1600, misfiled 0.4 + 0.0005; three quarters of g are the best one's.
    assert (found.kind, found.other) == (VerdictKind.DUPLICATE_RECORD, 1)
    assert found.probability == found.duplicate == pytest.approx(0.75 * 1600 / (997 + 1600 + 0.4005))


def test_no_priors_and_another_person_agrees() -> None:
    found = judge(evidence(None, [[math.log(0.02)], [math.log(60_000)]], 100), RATES, FLOOR)
    # g = 600.0002: nothing 0.997 + 0.0005, match elsewhere (0.002 + 0.0005)·g.
    assert (found.kind, found.other) == (VerdictKind.DUPLICATE_RECORD, 2)
    assert found.probability == pytest.approx(1.5 / (0.9975 + 1.5), rel=1e-5)


def test_own_priors_agree_and_nobody_else() -> None:
    found = judge(evidence([math.log(1000)], [[math.log(0.02)]], 100), RATES, FLOOR)
    assert (found.kind, found.other) == (VerdictKind.CONSISTENT, None)
    assert found.probability > 0.999


def test_headers_decide_about_second_records_and_about_nothing_else() -> None:
    """A misfiled image carries the header of its label: what that says of the other record does not clear it."""
    agree, differ = (Person(1, np.array([math.log(60_000)]), header) for header in (4.0, -6.0))
    own = person(0, math.log(1000))
    assert judge(Evidence(own, (agree,), 100), RATES, FLOOR).kind is VerdictKind.DUPLICATE_RECORD
    assert judge(Evidence(own, (differ,), 100), RATES, FLOOR).kind is VerdictKind.CONSISTENT
    swapped = [judge(Evidence(person(0, -4.0), (one,), 100), RATES, FLOOR) for one in (differ, person(1, 11.0))]
    assert [one.kind for one in swapped] == [VerdictKind.WRONG_PATIENT] * 2
    assert swapped[0].misfiled >= swapped[1].misfiled - 1e-9


def test_an_error_less_probable_than_before_looking_is_none() -> None:
    assert judge(evidence([math.log(1000)], [[math.log(0.02)]], 100), RATES, 0.0).kind is VerdictKind.CONSISTENT
    assert judge(evidence(None, [[math.log(0.02)]], 100), RATES, 0.0).kind is VerdictKind.FIRST_SEEN


def test_no_priors_and_nobody_else() -> None:
    assert judge(evidence(None, [], 0), RATES, FLOOR).kind is VerdictKind.FIRST_SEEN
    assert judge(evidence(None, [[math.log(0.02)]], 100), RATES, FLOOR).kind is VerdictKind.FIRST_SEEN


@pytest.mark.parametrize("own", [None, [5.0], [-5.0]])
def test_the_same_pixels_decide_alone(own: list[float] | None) -> None:
    twin = Evidence(None if own is None else person(0, *own), (person(1, 10.0),), 5, same_pixels=True)
    found = judge(twin, RATES, FLOOR)
    assert (found.kind, found.probability) == (VerdictKind.DUPLICATE_IMAGE, 1.0)


def test_one_of_several_priors_that_agrees_is_enough() -> None:
    """An old image may be another person's; in a mean of ratios one good match among n keeps an n-th of its worth."""
    found = judge(evidence([-4.0, -4.0, 9.0, -4.0], [], 50), RATES, FLOOR)
    assert found.kind is VerdictKind.CONSISTENT
    one_in_four = math.log((math.exp(9) + 3 * math.exp(-4)) / 4)
    assert person(0, -4.0, -4.0, 9.0, -4.0).log_ratio == pytest.approx(one_in_four, abs=1e-3)


def test_images_that_agree_confirm_each_other_by_hand() -> None:
    # Two equal ones: 2 / (1 + 0.7) of one. e^3 and e^2 as weights: (e + 1)^2 / (e^2 + 1) = 1.648 images agree.
    assert person(1, 3.0, 3.0).log_ratio == pytest.approx(3.0 * 2 / 1.7)
    agreeing = (math.e + 1) ** 2 / (math.e**2 + 1)
    mean = math.log((math.exp(3) + math.exp(2)) / 2)
    assert person(1, 2.0, 3.0).log_ratio == pytest.approx(mean * agreeing / (1 + 0.7 * (agreeing - 1)))
    assert person(1, -3.0, -3.0).log_ratio == pytest.approx(-3.0)


def test_many_images_of_a_person_give_no_unfair_chance() -> None:
    assert person(1, *[3.0] * 50).log_ratio < 3.0 / CORRELATION
    assert person(1, *[3.0, *[-4.0] * 49]).log_ratio < person(1, 3.0).log_ratio


@patient
@given(st.none() | log_ratios, st.lists(log_ratios, max_size=6), st.integers(0, 10**7), rates, st.floats(0, 1))
def test_any_evidence_gives_probabilities_and_a_row_of_the_table(
    own: list[float] | None, others: list[list[float]], persons: int, given_rates: Rates, floor: float
) -> None:
    found = judge(evidence(own, others, persons), given_rates, floor)
    alerts = (VerdictKind.WRONG_PATIENT, VerdictKind.PRIOR_MISMATCH, VerdictKind.DUPLICATE_RECORD)
    assert 0 <= found.probability <= 1
    assert (found.kind in alerts) == (found.probability >= floor and found.kind in alerts)
    if own is None:
        assert found.kind in (VerdictKind.DUPLICATE_RECORD, VerdictKind.FIRST_SEEN)
    if not others:
        assert found.kind in (VerdictKind.PRIOR_MISMATCH, VerdictKind.CONSISTENT, VerdictKind.FIRST_SEEN)


@patient
@given(st.none() | log_ratios, st.lists(log_ratios, max_size=6), st.integers(0, 10**6), st.integers(0, 10**6), rates)
def test_a_larger_gallery_never_makes_the_same_evidence_stronger(
    own: list[float] | None, others: list[list[float]], persons: int, more: int, given_rates: Rates
) -> None:
    small = judge(evidence(own, others, persons), given_rates, 0.0)
    large = judge(evidence(own, others, max(persons, len(others)) + more), given_rates, 0.0)
    assert large.misfiled <= small.misfiled + 1e-9
    assert large.duplicate <= small.duplicate + 1e-9


@patient
@given(log_ratios, st.lists(log_ratios, max_size=6), st.integers(0, 10**6), st.floats(0, 10), rates)
def test_better_agreement_with_priors_never_raises_suspicion(
    own: list[float], others: list[list[float]], persons: int, step: float, given_rates: Rates
) -> None:
    before = judge(evidence(own, others, persons), given_rates, 0.0)
    after = judge(evidence([ratio + step for ratio in own], others, persons), given_rates, 0.0)
    assert after.misfiled <= before.misfiled + 1e-9


@patient
@given(
    st.none() | log_ratios, st.lists(log_ratios, min_size=1, max_size=6), st.integers(0, 10**6), st.floats(0, 10), rates
)
def test_a_better_match_elsewhere_never_lowers_suspicion(
    own: list[float] | None, others: list[list[float]], persons: int, step: float, given_rates: Rates
) -> None:
    held = evidence(own, others, persons)
    best = held.ranked[0].number - 1
    raised = [[ratio + step for ratio in ratios] if i == best else ratios for i, ratios in enumerate(others)]
    before = judge(held, given_rates, 0.0)
    after = judge(evidence(own, raised, persons), given_rates, 0.0)
    assert after.misfiled >= before.misfiled - 1e-9
    assert after.duplicate >= before.duplicate - 1e-9


@patient
@given(log_ratios, st.lists(log_ratios, min_size=1, max_size=6), st.integers(0, 10**6), rates)
def test_the_order_of_comparisons_does_not_matter(
    own: list[float], others: list[list[float]], persons: int, given_rates: Rates
) -> None:
    held = evidence(own, others, persons)
    turned = Evidence(held.own, held.others[::-1], held.other_persons)
    one, two = judge(held, given_rates, 0.02), judge(turned, given_rates, 0.02)
    assume(abs(max(one.misfiled, one.duplicate) - 0.02) > 1e-9 and abs(one.misfiled - one.duplicate) > 1e-9)
    assert (one.kind, one.other) == (two.kind, two.other)
    assert one.probability == pytest.approx(two.probability)


@pytest.mark.parametrize("values", [(0.0, 0.1, 0.5), (0.1, 1.0, 0.5), (0.6, 0.4, 0.5), (0.1, 0.1, math.nan)])
def test_impossible_rates_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(EvidenceInvalid):
        Rates(*values)


def test_impossible_evidence_is_refused() -> None:
    for ratios in ([], [math.nan], [math.inf]):
        with pytest.raises(EvidenceInvalid):
            person(1, *ratios)
    with pytest.raises(EvidenceInvalid):
        Evidence(person(1, 0.0), (person(1, 0.0),), 5)
    with pytest.raises(EvidenceInvalid):
        Evidence(None, (person(1, 0.0), person(2, 0.0)), 1)


@pytest.mark.parametrize(
    ("kind", "probability", "other"),
    [
        (VerdictKind.WRONG_PATIENT, 0.5, None),
        (VerdictKind.CONSISTENT, 0.5, 3),
        (VerdictKind.CONSISTENT, 1.5, None),
    ],
)
def test_impossible_verdicts_cannot_be_made(kind: VerdictKind, probability: float, other: int | None) -> None:
    with pytest.raises(EvidenceInvalid):
        Verdict(kind, probability, other, 0.0, 0.0)


@patient
@given(st.lists(log_ratios, min_size=1, max_size=5))
def test_many_persons_at_once_say_what_each_says_alone(several: list[list[float]]) -> None:
    starts = np.cumsum([0, *map(len, several)])[:-1]
    assert together(np.concatenate(several), starts) == pytest.approx([person(1, *one).log_ratio for one in several])


@patient
@given(
    own=st.none() | log_ratios,
    others=st.lists(st.tuples(st.floats(-12, 20), st.floats(-8, 10)), min_size=1, max_size=6),
    persons=st.integers(6, 10**6),
    rates=rates,
    least=st.floats(0, 1),
)
def test_where_all_others_as_one_are_quiet_each_is(
    own: list[float] | None, others: list[tuple[float, float]], persons: int, rates: Rates, least: float
) -> None:
    """What the first look of an audit relies on."""
    quiet = (VerdictKind.CONSISTENT, VerdictKind.FIRST_SEEN)
    ratios, headers = np.array(others).T
    total = float(np.logaddexp.reduce(ratios))
    one = Person(1, np.array([total]), float(np.logaddexp.reduce(ratios + headers)) - total)
    each = tuple(Person(n, np.array([ratio]), header) for n, (ratio, header) in enumerate(others, start=1))
    mine = None if own is None else person(0, *own)
    assume(judge(Evidence(mine, (one,), persons), rates, least).kind in quiet)
    assert judge(Evidence(mine, each, persons), rates, least).kind in quiet
