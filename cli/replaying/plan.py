"""What a round of a replay sends: the stream, the errors planted in it, and what each of them is."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cli.demonstration.desk import Desk
from cli.demonstration.filing import records
from cli.demonstration.films import Taken
from cli.demonstration.run import Delivery
from cli.demonstration.stream import Film, Planted
from cli.outcome import InputNotUsable
from cli.replaying.kinds import ErrorKind
from cli.replaying.timeline import PERIOD_DAYS, timeline
from cli.sources import Source

# Any day will do, but the same one for every run: the files of a seed are the same to the last byte.
BEGINNING = datetime.datetime(2024, 1, 1, 8)
# Of the images filed under another patient, these shares are of the two special kinds, as far as there are any.
ALIKE_SHARE = 0.25
WITHOUT_PRIORS_SHARE = 0.25
# Years within which two persons are of one age group.
AGE_GROUP = 5.0


@dataclass(frozen=True)
class Shares:
    """Errors to plant, each as a share in [0, 1] of the frontal images: swaps, second records, pixels sent again."""

    swap: float
    second_record: float
    resent: float


@dataclass(frozen=True)
class Plan:
    """A round: what is sent, and by the number of the shot what is wrong with it."""

    delivery: Delivery
    errors: dict[int, ErrorKind]

    def rate(self, *kinds: ErrorKind) -> float:
        """Share of the stream, in [0, 1], that is of these kinds of errors."""
        return sum(kind in kinds for kind in self.errors.values()) / len(self.delivery.shots)


def planned(sources: Sequence[Source], shares: Shares, seed: int, round_number: int) -> Plan:
    """Plan a round; the same arguments give the same stream, to the last byte of its files.

    Raises:
        InputNotUsable: no error can be planted, as there are too few patients with several images.
    """
    chance = random.Random(f"{seed}:{round_number}")
    films = timeline(sources, chance)
    desk = Desk(films, chance)
    swapped = _swap(desk, films, shares.swap)
    frontal = sum(not film.lateral for film in films)
    for _ in range(round(shares.second_record * frontal)):
        desk.register_twice(desk.with_any_priors())
    for number in range(round(shares.resent * frontal)):
        desk.send_twice(desk.with_any_priors(), own_study=number % 2 == 1)
    shots = desk.shots()
    # The desk names swaps by the film's place in the stream, where nothing is sent again.
    kinds = {(films[at].person, films[at].content.path): kind for at, kind in swapped.items()}
    errors = {}
    for shot in shots:
        if shot.planted is Planted.WRONG_PATIENT:
            errors[shot.number] = kinds[shot.film.person, shot.film.content.path]
        elif shot.planted is Planted.DUPLICATE_RECORD:
            errors[shot.number] = ErrorKind.SECOND_RECORD
        elif shot.planted is Planted.DUPLICATE_IMAGE:
            errors[shot.number] = ErrorKind.RESENT
    if not errors:
        raise InputNotUsable(
            "No error can be planted in so few images: a replay needs patients with several images, and at least two "
            "such patients in one dataset."
        )
    taken = [BEGINNING + datetime.timedelta(days=shot.film.moment) for shot in shots]
    today = (BEGINNING + datetime.timedelta(days=PERIOD_DAYS)).date()
    uid_seed = seed * 1_000 + round_number
    return Plan(Delivery(shots, records(shots, uid_seed, today, invent=False), taken, uid_seed), errors)


def _swap(desk: Desk[Taken], films: Sequence[Film[Taken]], share: float) -> dict[int, ErrorKind]:
    wanted = round(share * sum(not film.lateral for film in films))
    about = {film.person: film.content for film in films}

    def known(at: int, person: str) -> bool:
        return desk.priors(person, at) >= 1

    def alike(at: int, person: str) -> bool:
        return known(at, person) and _alike(films[at].content, about[person])

    def new(at: int, person: str) -> bool:
        return desk.is_new(person, at)

    def anybody(at: int) -> bool:
        return True

    def seen_before(at: int) -> bool:
        return desk.priors(films[at].person, at) >= 1

    done = dict.fromkeys(desk.swap(round(ALIKE_SHARE * wanted), anybody, alike), ErrorKind.ALIKE)
    done |= dict.fromkeys(desk.swap(round(WITHOUT_PRIORS_SHARE * wanted), seen_before, new), ErrorKind.WITHOUT_PRIORS)
    done |= dict.fromkeys(desk.swap(wanted - len(done), anybody, known), ErrorKind.WITH_PRIORS)
    return done


def _alike(one: Taken, other: Taken) -> bool:
    if not one.sex or one.sex != other.sex or one.age is None or other.age is None:
        return False
    return abs(one.age - other.age) <= AGE_GROUP
