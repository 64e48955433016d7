"""The errors that registration desks make: films under another patient, second records, films sent once more."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic

from cli.demonstration.stream import Content, Film, Planted, Shot

SWAPPED_SHARE = 0.09
# So many films after a patient's last one, that one is sure to be in the gallery when it is needed.
SETTLED = 4
# Films are swapped between patients with so many earlier ones as long as there are any, then between others.
PRIORS_WANTED = 3
SECOND_RECORD = " (second record)"


def plant(
    films: Sequence[Film[Content]], chance: random.Random, share: float = SWAPPED_SHARE
) -> tuple[Shot[Content], ...]:
    """Give each film a label, some of them a wrong one, where it can best be told.

    A film is swapped only when both its person and the patient it is filed under have earlier films: without any,
    nobody could tell.

    Args:
        films: in the order in which they are sent.
        chance: the source of chance; the same state gives the same stream.
        share: how many of the films that have priors are filed under another patient, in [0, 1].

    Returns:
        One shot for each film, and one more for a film that is sent twice.
    """
    desk = Desk(films, chance)
    with_priors = sum(1 for at in range(len(films)) if desk.priors(films[at].person, at))
    wanted = max(1, round(share * with_priors)) if share else 0
    desk.register_twice(desk.with_most_priors())
    desk.send_twice(desk.with_most_priors())
    for least in range(PRIORS_WANTED, 0, -1):
        wanted -= len(desk.swap_between_known(wanted, least))
    return desk.shots()


class Desk(Generic[Content]):
    """Makes errors in a stream; every error involves patients of its own, so that no error hides another.

    Args:
        films: in the order in which they are sent.
        chance: the source of chance; the same state gives the same errors.
    """

    def __init__(self, films: Sequence[Film[Content]], chance: random.Random) -> None:
        self._films = films
        self._chance = chance
        self._involved: set[str] = set()
        self._labels: dict[int, tuple[str, Planted]] = {}
        self._again: dict[int, tuple[int, str]] = {}
        self._places: dict[str, list[int]] = defaultdict(list)
        self._of_group: dict[str, dict[str, None]] = defaultdict(dict)
        for at, film in enumerate(films):
            self._of_group[film.group][film.person] = None
            if not film.lateral:
                self._places[film.person].append(at)

    def priors(self, person: str, at: int) -> int:
        """Frontal films of a person that were sent some time before position `at`."""
        return bisect_left(self._places[person], at - SETTLED)

    def is_new(self, person: str, at: int) -> bool:
        """Whether no frontal film of a person was sent before position `at`."""
        return bisect_left(self._places[person], at) == 0

    def with_most_priors(self) -> int | None:
        """The last position whose person, not involved yet, has most priors; None if none has any."""
        best = max(self._free(), key=lambda at: (self.priors(self._films[at].person, at), at), default=None)
        return best if best is not None and self.priors(self._films[best].person, best) else None

    def with_any_priors(self) -> int | None:
        """A position at random whose person, not involved yet, has priors; None if none has any."""
        suited = [at for at in self._free() if self.priors(self._films[at].person, at)]
        return self._chance.choice(suited) if suited else None

    def swap(self, wanted: int, owner: Callable[[int], bool], label: Callable[[int, str], bool]) -> list[int]:
        """File up to `wanted` films under other patients of their group.

        Args:
            owner: whether the film at a position may be taken. label: whether it may be filed under a person.

        Returns:
            the positions of the films.
        """
        done: list[int] = []
        places = [at for at, film in enumerate(self._films) if not film.lateral]
        self._chance.shuffle(places)
        for at in places:
            if len(done) >= wanted:
                break
            other = self._other(at, label)
            if other is not None and owner(at):
                self._involved.update((self._films[at].person, other))
                self._labels[at] = (other, Planted.WRONG_PATIENT)
                done.append(at)
        return done

    def swap_between_known(self, wanted: int, least: int) -> list[int]:
        """`swap` where both the film's person and the patient it is filed under have at least so many priors."""

        def owner(at: int) -> bool:
            return self.priors(self._films[at].person, at) >= least

        def label(at: int, person: str) -> bool:
            return self.priors(person, at) >= least

        return self.swap(wanted, owner, label)

    def register_twice(self, at: int | None) -> None:
        """Give the person of the film at a position a new record for it, as if registered a second time."""
        if at is not None:
            person = self._films[at].person
            self._involved.add(person)
            self._labels[at] = (f"{person}{SECOND_RECORD}", Planted.DUPLICATE_RECORD)

    def send_twice(self, at: int | None, own_study: bool = False) -> None:
        """After a position, send the first film of its person once more.

        Args:
            own_study: as another study of the same patient, instead of under another patient who has priors.
        """
        if at is None:
            return
        person = self._films[at].person
        label = person if own_study else self._other(at, lambda at, other: self.priors(other, at) >= 1)
        if label is not None:
            self._involved.update((person, label))
            self._again[at] = (self._places[person][0], label)

    def shots(self) -> tuple[Shot[Content], ...]:
        """The stream with the errors made so far: one shot for each film, one more for each that is sent twice."""
        sent: list[tuple[Film[Content], str, Planted]] = []
        for at, film in enumerate(self._films):
            usual = Planted.LATERAL if film.lateral else Planted.NOTHING
            sent.append((film, *self._labels.get(at, (film.person, usual))))
            if at in self._again:
                first, label = self._again[at]
                sent.append((self._films[first], label, Planted.DUPLICATE_IMAGE))
        return tuple(Shot(number, *shot) for number, shot in enumerate(sent))

    def _free(self) -> list[int]:
        return [at for at, film in enumerate(self._films) if not film.lateral and film.person not in self._involved]

    def _other(self, at: int, suits: Callable[[int, str], bool]) -> str | None:
        film = self._films[at]
        if film.person in self._involved:
            return None
        others = [
            person
            for person in self._of_group[film.group]
            if person != film.person and person not in self._involved and suits(at, person)
        ]
        return self._chance.choice(others) if others else None
