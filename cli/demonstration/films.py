"""Where the demo's films come from: synthetic chests drawn as they are needed, or real images from a folder."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from cli.demonstration.stream import Film, in_order_of_time
from cli.outcome import InputNotUsable
from cli.sources import Source, find_sources, is_dicom

EXAMS = 5
LATERALS = 4
# Of the real images, so many belong to patients with several; the others are seen once, as in a hospital's stream.
REPEAT_SHARE = 0.85


@dataclass(frozen=True)
class Drawn:
    """A synthetic film: whom to draw and in which exam."""

    person_seed: int
    exam_seed: int


@dataclass(frozen=True)
class Taken:
    """A real film: its file, and what the manifest says about the person."""

    path: Path
    sex: str
    age: float | None
    view: str


def synthetic(images: int, seed: int) -> tuple[Film[Drawn], ...]:
    """A hospital of synthetic persons with about five exams each, a few of them lateral, in order of time."""
    chance = random.Random(seed)
    laterals = min(LATERALS, images // 20)
    persons = max(2, round((images - laterals) / EXAMS))
    counts = [(images - laterals) // persons + (i < (images - laterals) % persons) for i in range(persons)]
    exams = [
        [
            Film(f"person {i}", "synthetic", False, Drawn(seed * 100_003 + i, chance.getrandbits(31)))
            for _ in range(count)
        ]
        for i, count in enumerate(counts)
    ]
    for i in chance.sample(range(persons), min(laterals, persons)):
        person = Drawn(_seed(seed, i), chance.getrandbits(31))
        exams[i].insert(chance.randrange(len(exams[i]) + 1), Film(f"person {i}", "synthetic", True, person))
    return in_order_of_time(exams, chance)


def real(path: Path, images: int, seed: int) -> tuple[Film[Taken], ...]:
    """Choose films from a manifest or a folder, patients with several images first, in order of time.

    A manifest's columns `patient`, `dataset`, `split`, `view`, `sex`, `age`, `day` and `sequence` are used where they
    exist: only the split `test` where one is named, patients of a dataset confused only with each other, `L` for
    lateral views. Without a manifest a DICOM file's Patient ID, else the folder a picture lies in, tells the person.

    Raises:
        InputNotUsable: there are too few images of patients with several to show anything.
    """
    chance = random.Random(seed)
    sources = find_sources(_manifest_in(path))
    if any(source.columns.get("split") == "test" for source in sources):
        sources = tuple(source for source in sources if source.columns.get("split") == "test")
    frontal: dict[str, list[Source]] = defaultdict(list)
    lateral: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        (lateral if _is_lateral(source) else frontal)[_person(source)].append(source)
    chosen = _choose(frontal, images - min(LATERALS, len(lateral)), chance)
    exams = [[_film(person, source, False) for source in sorted(found, key=_moment)] for person, found in chosen]
    for person in chance.sample(sorted(lateral), min(LATERALS, len(lateral))):
        exams.append([_film(person, lateral[person][0], True)])
    return in_order_of_time(exams, chance)


def _seed(seed: int, person: int) -> int:
    return seed * 100_003 + person


def _choose(persons: dict[str, list[Source]], images: int, chance: random.Random) -> list[tuple[str, list[Source]]]:
    """Whole patients, group by group in turn, so that a small group is not drowned by a large one."""
    groups: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for person, found in sorted(persons.items()):
        groups[len(found) > 1, _group(found[0])].append(person)
    for members in groups.values():
        chance.shuffle(members)
    if not any(several and len(members) > 1 for (several, _), members in groups.items()):
        raise InputNotUsable("The demo needs at least two patients with several images each; choose another --data.")
    chosen: list[tuple[str, list[Source]]] = []
    for several, room in ((True, round(images * REPEAT_SHARE)), (False, images)):
        queues = [members for (repeated, _), members in sorted(groups.items()) if repeated is several]
        while any(queues) and _films_in(chosen) < room:
            for members in queues:
                if members and _films_in(chosen) < room:
                    person = members.pop()
                    # One patient with dozens of bedside images would fill the stream.
                    chosen.append((person, sorted(persons[person], key=_moment)[: EXAMS + 1]))
    return chosen


def _films_in(chosen: Sequence[tuple[str, list[Source]]]) -> int:
    return sum(len(found) for _, found in chosen)


def _manifest_in(path: Path) -> Path:
    return path / "manifest.csv" if (path / "manifest.csv").is_file() else path


def _film(person: str, source: Source, lateral: bool) -> Film[Taken]:
    columns = source.columns
    age = columns.get("age", "")
    taken = Taken(source.path, columns.get("sex", ""), float(age) if age else None, columns.get("view", ""))
    return Film(person, _group(source), lateral, taken)


def _group(source: Source) -> str:
    return source.columns.get("dataset", "")


def _person(source: Source) -> str:
    named = source.columns.get("patient")
    if named:
        return named
    if is_dicom(source.path):
        try:
            found = pydicom.dcmread(source.path, specific_tags=["PatientID"], stop_before_pixels=True)
            return str(found.get("PatientID") or source.name)
        except (InvalidDicomError, OSError, ValueError) as error:
            raise InputNotUsable(f"{source.path} is no readable DICOM file.") from error
    parent = Path(source.name).parent
    return source.name if parent == Path() else str(parent)


def _is_lateral(source: Source) -> bool:
    return source.columns.get("view", "").upper() in ("L", "LL", "RL", "LAT", "LATERAL")


def _moment(source: Source) -> tuple[float, float, str]:
    def number(column: str) -> float:
        text = source.columns.get(column, "")
        return float(text) if text else 0.0

    return number("day"), number("sequence"), source.name
