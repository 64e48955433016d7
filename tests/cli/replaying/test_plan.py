"""The plan of a round: how many errors of which kind, and that the same seed plans the same."""

from __future__ import annotations

from collections import Counter

import pytest

from cli.demonstration.stream import Planted
from cli.outcome import InputNotUsable
from cli.replaying.kinds import ErrorKind
from cli.replaying.plan import Plan, Shares, planned
from tests.cli.replaying.people import hospital

SHARES = Shares(0.04, 0.02, 0.04)
KNOWN = {"sex": "F", "age": "50"}


def plan(seed: int = 1, round_number: int = 0, **columns: str) -> Plan:
    return planned(hospital(120, 5, **columns), SHARES, seed, round_number)


def test_every_kind_is_planted_in_its_share() -> None:
    assert Counter(plan(**KNOWN).errors.values()) == {
        ErrorKind.ALIKE: 6,
        ErrorKind.WITHOUT_PRIORS: 6,
        ErrorKind.WITH_PRIORS: 12,
        ErrorKind.SECOND_RECORD: 12,
        ErrorKind.RESENT: 24,
    }


def test_where_sex_and_age_are_unknown_nobody_is_of_the_same_group() -> None:
    counts = Counter(plan().errors.values())
    assert counts[ErrorKind.ALIKE] == 0
    assert counts[ErrorKind.WITH_PRIORS] == 18


@pytest.mark.parametrize("seed", range(5))
def test_each_error_is_what_it_says(seed: int) -> None:
    found = plan(seed, **KNOWN)
    shots = found.delivery.shots
    for number, kind in found.errors.items():
        shot = shots[number]
        before = {s.label for s in shots[:number] if s.is_right}
        swapped = shot.planted is Planted.WRONG_PATIENT
        assert swapped == kind.is_swap
        assert shot.label != shot.film.person or kind is ErrorKind.RESENT
        if kind.has_priors:
            assert shot.label in before
        if kind is ErrorKind.WITHOUT_PRIORS:
            assert shot.label not in before and shot.film.person in before


def test_persons_of_another_age_are_not_of_the_same_group() -> None:
    young, old = hospital(20, 5, "d", sex="F", age="20"), hospital(20, 5, "d", sex="M", age="20")
    renamed = tuple(type(s)("x" + s.name, s.path.with_name("x" + s.path.name), {**s.columns}) for s in old)
    for source in renamed:
        source.columns["patient"] = "x" + source.columns["patient"]
    found = planned(young + renamed, SHARES, 1, 0)
    sex = {shot.film.person: shot.film.content.sex for shot in found.delivery.shots}
    alike = [found.delivery.shots[n] for n, kind in found.errors.items() if kind is ErrorKind.ALIKE]
    assert len(alike) == 2
    assert all(sex[shot.label] == sex[shot.film.person] for shot in alike)


def test_the_same_seed_and_round_plan_the_same() -> None:
    assert plan(3, 1) == plan(3, 1)
    assert plan(3, 1).errors != plan(3, 2).errors
    assert plan(3, 1).errors != plan(4, 1).errors


def test_rounds_have_uids_of_their_own() -> None:
    one, two = ({uid for _, uid, _ in plan(1, n).delivery.sent()} for n in (0, 1))
    assert not one & two


def test_headers_say_what_the_manifest_says_and_invent_nothing() -> None:
    for columns, expected in (({}, ("", None)), (KNOWN, ("F", 1975))):
        found = plan(**columns)
        for record in found.delivery.records.values():
            born = record.patient.birth_date
            assert record.patient.sex == expected[0]
            assert (born and born.year in (1973, 1974, 1975)) == (expected[1] is not None or None)


def test_dates_in_headers_follow_the_stream() -> None:
    found = plan()
    for shot, taken in zip(found.delivery.shots, found.delivery.taken, strict=True):
        assert (taken - found.delivery.taken[0]).days == pytest.approx(
            shot.film.moment - found.delivery.shots[0].film.moment, abs=1.01
        )


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputNotUsable, match="No error can be planted"):
        planned(hospital(2, 1), SHARES, 1, 0)
