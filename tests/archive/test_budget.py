"""The budget as a pure function: kept in any stream, spent where most is expected, no place lost that people use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.budget import AlertBudget, BudgetInvalid, RecordRule, Suspicion
from archive.states import AlertKind
from cli.replaying.outcome import Raised, ranked

patient = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("per_1000", "studies", "allowed"),
    [(20, 0, 5), (20, 250, 5), (20, 251, 6), (20, 1000, 20), (20, 5000, 20), (0, 1000, 0), (1, 400, 1)],
)
def test_the_allowance_grows_with_the_studies_up_to_the_window(per_1000: float, studies: int, allowed: int) -> None:
    assert AlertBudget(per_1000, 1000).allowance(studies) == allowed


def test_the_most_probable_are_shown_and_those_that_people_work_on_stay() -> None:
    suspicions = [Suspicion(1, 0.9), Suspicion(2, 0.1, is_kept=True), Suspicion(3, 0.5), Suspicion(4, 0.9)]
    assert AlertBudget(5, 1000).shown(suspicions, 400) == {2, 1}
    assert AlertBudget(5, 1000).shown(suspicions, 600) == {2, 1, 4}
    assert AlertBudget(0, 1000).shown(suspicions, 600) == {2}


def test_second_records_take_their_share_of_the_list_at_most() -> None:
    records = [Suspicion(number, 0.9, is_record=True) for number in range(5)]
    labels = [Suspicion(number, 0.2) for number in range(5, 9)]
    budget = AlertBudget(8, 1000, RecordRule(share=0.25))
    assert budget.shown(records + labels, 1000) == {0, 1, 5, 6, 7, 8}
    # One that a person works on uses up a place.
    assert budget.shown([*records, *labels, Suspicion(9, 0.1, True, True)], 1000) == {9, 0, 5, 6, 7, 8}
    assert AlertBudget(8, 1000).shown(records + labels, 1000) == set(range(8))
    assert AlertBudget(8, 1000, RecordRule(share=0.0)).shown(records + labels, 1000) == {5, 6, 7, 8}


def test_second_records_count_by_their_weight_and_take_places_that_no_other_needs() -> None:
    records = [Suspicion(number, 0.9 + number / 100, is_record=True) for number in range(5)]
    labels = [Suspicion(5, 0.1), Suspicion(6, 0.19), Suspicion(7, 0.3), Suspicion(8, 0.2)]
    budget = AlertBudget(4, 1000, RecordRule(weight=0.2))
    assert budget.shown(records + labels, 1000) == {7, 8, 6, 4}
    assert AlertBudget(20, 1000, RecordRule(weight=0.2)).shown(records + labels, 1000) == set(range(9))
    # Where they count nothing, the most probable ones fill what is left.
    assert AlertBudget(6, 1000, RecordRule(weight=0.0)).shown(records + labels, 1000) == {5, 6, 7, 8, 3, 4}


def test_one_patients_folder_takes_one_place_until_somebody_has_dealt_with_it() -> None:
    folder = [Suspicion(number, 0.9 - number / 100, patient=7) for number in range(3)]
    others = [Suspicion(3, 0.2, patient=8), Suspicion(4, 0.1), Suspicion(5, 0.1), Suspicion(6, 0.5, is_record=True)]
    budget = AlertBudget(5, 1000)
    assert budget.shown(folder + others, 1000) == {0, 3, 4, 5, 6}
    dealt_with = [Suspicion(0, 0.9, is_kept=True, patient=7), *folder[1:]]
    assert budget.shown(dealt_with + others, 1000) == {0, 1, 3, 4, 6}


@pytest.mark.parametrize("per_1000", [5.0, 20.0, 50.0])
def test_a_stream_with_suspicions_enough_keeps_the_budget_within_a_quarter(per_1000: float) -> None:
    rng = np.random.default_rng(0)
    stream = [float(p) if p < 0.2 else None for p in rng.uniform(size=6000)]
    raised = sum(AlertBudget(per_1000, 1000).raised(stream))
    assert raised / len(stream) * 1000 == pytest.approx(per_1000, rel=0.25)


def test_a_burst_does_not_cost_the_quiet_time_after_it_its_alerts() -> None:
    stream = [0.9] * 40 + [0.1] * 2000
    raised = AlertBudget(10, 100).raised(stream)
    assert raised[0] and sum(raised[200:]) > 15


suspicions = st.builds(Suspicion, st.integers(0, 10_000), st.floats(0, 1), st.booleans(), st.booleans())
folders = st.builds(Suspicion, st.integers(0, 10_000), st.floats(0, 1), patient=st.integers(0, 5))
rules = st.builds(RecordRule, st.floats(0, 1), st.floats(0, 1))


@patient
@given(st.lists(suspicions, max_size=60, unique_by=lambda one: one.number), st.floats(0, 200), rules)
def test_a_list_is_never_longer_than_the_budget_but_for_what_people_keep(
    some: list[Suspicion], per_1000: float, rule: RecordRule
) -> None:
    budget = AlertBudget(per_1000, 40, rule)
    shown = budget.shown(some, 400)
    kept = {one.number for one in some if one.is_kept}
    assert kept <= shown and len(shown) <= max(budget.allowance(400), len(kept))
    records = {one.number for one in some if one.is_record and not one.is_kept}
    assert len(records & shown) <= rule.share * budget.allowance(400) + 1
    for alike in (True, False):
        mine = [one for one in some if one.is_record is alike and not one.is_kept]
        listed = [one.probability for one in mine if one.number in shown]
        held = [one.probability for one in mine if one.number not in shown]
        assert not listed or not held or min(listed) >= max(held)
    if records - shown and sum(one.is_record for one in some if one.number in shown) < rule.most(budget.allowance(400)):
        best = max(one.probability for one in some if one.number in records - shown) * rule.weight
        assert all(one.probability >= best for one in some if one.number in shown - kept - records)


@patient
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40), st.floats(0, 200), rules)
def test_a_replay_puts_the_same_suspicions_on_its_list(
    some: list[tuple[int, bool]], per_1000: float, rule: RecordRule
) -> None:
    live = [Suspicion(number, p / 20, is_record=is_record) for number, (p, is_record) in enumerate(some)]
    kind = {True: AlertKind.DUPLICATE_RECORD, False: AlertKind.WRONG_PATIENT}
    raised = sorted(
        (Raised(kind[one.is_record], one.probability, False, one.number, False) for one in live),
        key=lambda one: -one.probability,
    )
    budget = AlertBudget(per_1000, 1000, rule)
    room = budget.allowance(1000)
    listed = ranked(raised, 1000, rule)
    assert budget.shown(live, 1000) == set(listed.error[listed.on_list(room)].tolist())


@patient
@given(st.lists(folders, max_size=30, unique_by=lambda one: one.number), st.floats(0, 200))
def test_of_each_patient_the_most_probable_suspicion_is_shown_if_any(some: list[Suspicion], per_1000: float) -> None:
    shown = [one for one in some if one.number in AlertBudget(per_1000, 40).shown(some, 400)]
    assert len({one.patient for one in shown}) == len(shown)
    for one in shown:
        assert one.probability == max(other.probability for other in some if other.patient == one.patient)


@pytest.mark.parametrize(("per_1000", "window"), [(-1.0, 10), (1.0, 0)])
def test_impossible_budgets_are_refused(per_1000: float, window: int) -> None:
    with pytest.raises(BudgetInvalid):
        AlertBudget(per_1000, window)


@pytest.mark.parametrize(("share", "weight"), [(1.5, 1.0), (-0.1, 1.0), (1.0, 1.5), (1.0, -0.1)])
def test_impossible_rules_are_refused(share: float, weight: float) -> None:
    with pytest.raises(BudgetInvalid):
        RecordRule(share, weight)
