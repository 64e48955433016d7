"""A stream of real images in order of time, from a manifest that knows each patient's own order only."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cli.demonstration.films import (
    Taken,
    film_of,
    is_lateral,
    manifest_in,
    person_of,
    place_in_time,
)
from cli.demonstration.stream import Film
from cli.outcome import InputNotUsable
from cli.sources import Source, find_sources
from retrieval.data.trusted import untrusted

# Patients come at any day of so many.
PERIOD_DAYS = 365.0
# Images of one day keep their order.
MINUTE = 1.0 / 1440


def chosen(path: Path, split: str, datasets: Sequence[str], images: int | None, seed: int) -> tuple[Source, ...]:
    """The images to replay: of one split, of some datasets, whole patients at random up to a number.

    Patients whose numbers cannot be trusted are left out, see `retrieval.data.trusted`.

    Args:
        path: a manifest, a folder with one, or a folder of images; see `find_sources`.
        split: `train`, `val`, `test` or `all`; images without a split are taken whatever it is.
        datasets: keep these only; all if empty.
        images: how many at most; all if None.

    Raises:
        InputNotUsable: nothing is left.
    """
    sources = find_sources(manifest_in(path))
    left_out = untrusted(source.columns.get("patient", "") for source in sources)
    found = [
        source
        for source in sources
        if source.columns.get("patient", "") not in left_out
        and (split == "all" or source.columns.get("split", "") in (split, ""))
        and (not datasets or source.columns.get("dataset", "") in datasets)
    ]
    if not found:
        wanted = f"of the split {split!r}" + (f" in the datasets {', '.join(datasets)}" if datasets else "")
        raise InputNotUsable(f"There are no images {wanted} in {path}; choose others with --split and --dataset.")
    if images is None or len(found) <= images:
        return tuple(found)
    return tuple(_whole_patients(found, images, random.Random(seed)))


def row_numbers(path: Path) -> dict[Path, int]:
    """For each image its row in the manifest, the first below the heading being 1; else its place in the folder."""
    return {source.path: row for row, source in enumerate(find_sources(manifest_in(path)), 1)}


def timeline(sources: Sequence[Source], chance: random.Random) -> tuple[Film[Taken], ...]:
    """Lay the images of all patients on one line of time, each patient beginning at a day drawn by chance.

    Days between the images of a patient are kept where the manifest's column `day` names one for each of them; else
    they are drawn by chance, in the order of `place_in_time`.
    """
    of_person: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        of_person[person_of(source)].append(source)
    films = []
    for person, own in sorted(of_person.items()):
        ordered = sorted(own, key=place_in_time)
        for source, moment in zip(ordered, _moments(ordered, chance), strict=True):
            films.append(film_of(person, source, is_lateral(source), moment))
    return tuple(sorted(films, key=lambda film: (film.moment, film.person)))


def _moments(ordered: Sequence[Source], chance: random.Random) -> list[float]:
    days = [source.columns.get("day", "") for source in ordered]
    if not all(days):
        return sorted(chance.uniform(0.0, PERIOD_DAYS) for _ in ordered)
    offsets = [float(day) - float(days[0]) for day in days]
    first = chance.uniform(0.0, max(PERIOD_DAYS - offsets[-1], 0.0))
    return [first + offset + place * MINUTE for place, offset in enumerate(offsets)]


def _whole_patients(sources: Sequence[Source], images: int, chance: random.Random) -> list[Source]:
    of_person: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        of_person[person_of(source)].append(source)
    persons = sorted(of_person)
    chance.shuffle(persons)
    kept: list[Source] = []
    for person in persons:
        if len(kept) + len(of_person[person]) <= images:
            kept += of_person[person]
    return kept
