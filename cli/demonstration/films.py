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
    sources = find_sources(manifest_in(path))
    if any(source.columns.get("split") == "test" for source in sources):
        sources = tuple(source for source in sources if source.columns.get("split") == "test")
    frontal: dict[str, list[Source]] = defaultdict(list)
    lateral: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        (lateral if is_lateral(source) else frontal)[person_of(source)].append(source)
    chosen = _choose(frontal, images - min(LATERALS, len(lateral)), chance)
    exams = [
        [film_of(person, source, False) for source in sorted(found, key=place_in_time)] for person, found in chosen
    ]
    for person in chance.sample(sorted(lateral), min(LATERALS, len(lateral))):
        exams.append([film_of(person, lateral[person][0], True)])
    return in_order_of_time(exams, chance)


def _seed(seed: int, person: int) -> int:
    return seed * 100_003 + person


def _choose(persons: dict[str, list[Source]], images: int, chance: random.Random) -> list[tuple[str, list[Source]]]:
    """Whole patients, group by group in turn, so that a small group is not drowned by a large one."""
    groups: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for person, found in sorted(persons.items()):
        groups[len(found) > 1, group_of(found[0])].append(person)
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
                    chosen.append((person, sorted(persons[person], key=place_in_time)[: EXAMS + 1]))
    return chosen


def _films_in(chosen: Sequence[tuple[str, list[Source]]]) -> int:
    return sum(len(found) for _, found in chosen)


def manifest_in(path: Path) -> Path:
    """The manifest of a folder that holds one, else the path itself."""
    return path / "manifest.csv" if (path / "manifest.csv").is_file() else path


def film_of(person: str, source: Source, lateral: bool, moment: float = 0.0) -> Film[Taken]:
    """The film of a real image; `moment` as in `Film`."""
    columns = source.columns
    age = columns.get("age", "")
    taken = Taken(source.path, columns.get("sex", ""), float(age) if age else None, columns.get("view", ""))
    return Film(person, group_of(source), lateral, taken, moment)


def group_of(source: Source) -> str:
    """Whom a person could be taken for: the patients of the same dataset."""
    return source.columns.get("dataset", "")


def person_of(source: Source) -> str:
    """Whom an image shows: by the manifest, else by the DICOM header, else by the folder it lies in.

    Raises:
        InputNotUsable: it is a DICOM file that cannot be read.
    """
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


def is_lateral(source: Source) -> bool:
    """Whether the manifest calls it a lateral view."""
    return source.columns.get("view", "").upper() in ("L", "LL", "RL", "LAT", "LATERAL")


def place_in_time(source: Source) -> tuple[float, float, str]:
    """Sorts the images of one person: by day, then by number in the sequence, then by name."""

    def number(column: str) -> float:
        text = source.columns.get(column, "")
        return float(text) if text else 0.0

    return number("day"), number("sequence"), source.name
