"""The evidence behind each verdict of a round, kept in a file so that it can be judged again in a larger gallery."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.verdict import Evidence, Person


class EvidenceFile:
    """One line of JSON for each image; a later line about the same image counts.

    Args:
        path: appended to, made when needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            # A line that a crash cut short would spoil the next one.
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, whole)

    def append(self, number: int, evidence: Evidence) -> None:
        """Add what a verdict stands on, by the number of the shot."""
        line = {
            "number": number,
            "own": None if evidence.own is None else _plain(evidence.own),
            "others": [_plain(person) for person in evidence.others],
            "other_persons": evidence.other_persons,
            "same_pixels": evidence.same_pixels,
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def read(self) -> dict[int, Evidence]:
        """All evidence by the number of the shot."""
        return dict(self._lines()) if self._path.exists() else {}

    def _lines(self) -> Iterator[tuple[int, Evidence]]:
        with self._path.open(encoding="utf-8") as stream:
            for line in stream:
                raw = json.loads(line)
                own = None if raw["own"] is None else _person(raw["own"])
                others = tuple(_person(one) for one in raw["others"])
                yield raw["number"], Evidence(own, others, raw["other_persons"], raw["same_pixels"])


def _plain(person: Person) -> list[Any]:
    return [person.number, *person.log_ratios.tolist()]


def _person(raw: list[Any]) -> Person:
    return Person(int(raw[0]), np.array(raw[1:], np.float64))
