"""Which film is sent under whose name: a stream in order of time, with the errors that registration desks make."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Content = TypeVar("Content")

SWAPPED_SHARE = 0.09
# So many films after a patient's last one, that one is sure to be in the gallery when it is needed.
SETTLED = 4
# Films are swapped between patients with so many earlier ones as long as there are any, then between others.
PRIORS_WANTED = 3


class Planted(StrEnum):
    """What a film was sent as."""

    NOTHING = "under the right patient"
    WRONG_PATIENT = "under another patient"
    DUPLICATE_RECORD = "under a second record"
    DUPLICATE_IMAGE = "again, under another patient"
    LATERAL = "a lateral view"


@dataclass(frozen=True)
class Film(Generic[Content]):
    """One exposure: whose it is, whom that person could be taken for (`group`), and where the pixels come from."""

    person: str
    group: str
    lateral: bool
    content: Content


@dataclass(frozen=True)
class Shot(Generic[Content]):
    """A film as it is sent: the record (label) whose header it carries and the person it would rightly belong to."""

    number: int
    film: Film[Content]
    label: str
    planted: Planted

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong with it, so that an alert on it would be false."""
        return self.planted in (Planted.NOTHING, Planted.LATERAL)


def in_order_of_time(exams: Sequence[Sequence[Film[Content]]], chance: random.Random) -> tuple[Film[Content], ...]:
    """Mix the films of all persons into one stream, keeping each person's own order."""
    timed = [
        (moment, film)
        for films in exams
        for moment, film in zip(sorted(chance.random() for _ in films), films, strict=True)
    ]
    return tuple(film for _, film in sorted(timed, key=lambda pair: pair[0]))


def plant(
    films: Sequence[Film[Content]], chance: random.Random, share: float = SWAPPED_SHARE
) -> tuple[Shot[Content], ...]:
    """Give each film a label, some of them a wrong one.

    Every planted error involves patients of its own, so that no error hides another. A film is swapped only when both
    its person and the patient it is filed under have earlier films: without any, nobody could tell.

    Args:
        films: in the order in which they are sent.
        chance: the source of chance; the same state gives the same stream.
        share: how many of the films that have priors are filed under another patient, in [0, 1].

    Returns:
        One shot for each film, and one more for a film that is sent twice.
    """
    desk = _Desk(films, chance)
    with_priors = sum(1 for at in range(len(films)) if desk.priors(films[at].person, at))
    wanted = max(1, round(share * with_priors)) if share else 0
    desk.register_twice()
    again = desk.send_twice()
    desk.swap(wanted)
    shots: list[tuple[Film[Content], str, Planted]] = []
    for at, film in enumerate(films):
        usual = Planted.LATERAL if film.lateral else Planted.NOTHING
        label, planted = desk.labels.get(at, (film.person, usual))
        shots.append((film, label, planted))
        if again is not None and again[0] == at:
            shots.append((films[again[1]], again[2], Planted.DUPLICATE_IMAGE))
    return tuple(Shot(number, *shot) for number, shot in enumerate(shots))


class _Desk(Generic[Content]):
    """The registration desk that makes the errors."""

    def __init__(self, films: Sequence[Film[Content]], chance: random.Random) -> None:
        self._films = films
        self._chance = chance
        self._involved: set[str] = set()
        self._swapped = 0
        self._seen: list[Counter[str]] = []
        self._of_group: dict[str, list[str]] = defaultdict(list)
        self.labels: dict[int, tuple[str, Planted]] = {}
        seen: Counter[str] = Counter()
        for at, film in enumerate(films):
            self._seen.append(seen.copy())
            if at >= SETTLED and not films[at - SETTLED].lateral:
                seen[films[at - SETTLED].person] += 1
            if film.person not in self._of_group[film.group]:
                self._of_group[film.group].append(film.person)

    def priors(self, person: str, at: int) -> int:
        """Films of a person that were sent some time before position `at`."""
        return self._seen[at][person]

    def swap(self, wanted: int) -> None:
        """File up to `wanted` films under other patients, rather those with many priors on both sides."""
        for least in range(PRIORS_WANTED, 0, -1):
            places = [at for at, film in enumerate(self._films) if not film.lateral]
            self._chance.shuffle(places)
            for at in places:
                if self._swapped >= wanted:
                    return
                other = self._other(at, least)
                if other is not None and self.priors(self._films[at].person, at) >= least:
                    self._take(self._films[at].person, other)
                    self.labels[at] = (other, Planted.WRONG_PATIENT)
                    self._swapped += 1

    def register_twice(self) -> None:
        """Give one person's film a new record, as if the person had been registered a second time."""
        at = self._late_film()
        if at is not None:
            person = self._films[at].person
            self._take(person)
            self.labels[at] = (f"{person} (second record)", Planted.DUPLICATE_RECORD)

    def send_twice(self) -> tuple[int, int, str] | None:
        """Choose a film to be sent once more: (position after which, the film's position, the wrong label)."""
        at = self._late_film()
        other = None if at is None else self._other(at, 1)
        if at is None or other is None:
            return None
        person = self._films[at].person
        earlier = next(i for i, film in enumerate(self._films) if film.person == person and not film.lateral)
        self._take(person, other)
        return at, earlier, other

    def _late_film(self) -> int | None:
        """The last position whose person, not involved yet, has most priors."""
        free = [at for at, film in enumerate(self._films) if not film.lateral and film.person not in self._involved]
        best = max(free, key=lambda at: (self.priors(self._films[at].person, at), at), default=None)
        return best if best is not None and self.priors(self._films[best].person, best) else None

    def _other(self, at: int, least: int) -> str | None:
        film = self._films[at]
        if film.person in self._involved:
            return None
        others = [
            person
            for person in self._of_group[film.group]
            if person != film.person and person not in self._involved and self.priors(person, at) >= least
        ]
        return self._chance.choice(others) if others else None

    def _take(self, *persons: str) -> None:
        self._involved.update(persons)
