"""What is sent: films in order of time, each under a label, some of them under a wrong one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Content = TypeVar("Content")


class Planted(StrEnum):
    """What a film was sent as."""

    NOTHING = "under the right patient"
    WRONG_PATIENT = "under another patient"
    DUPLICATE_RECORD = "under a second record"
    DUPLICATE_IMAGE = "again, under another patient"
    LATERAL = "a lateral view"


@dataclass(frozen=True)
class Film(Generic[Content]):
    """One exposure: whose it is, whom that person could be taken for (`group`), and where the pixels come from.

    Attributes:
        moment: days from the beginning of the stream to the exposure; 0 where only the order matters.
    """

    person: str
    group: str
    lateral: bool
    content: Content
    moment: float = 0.0


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
