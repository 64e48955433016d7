"""An audit from beginning to end: read, compare everything with everything, judge, look closely."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress as Bar
from sqlalchemy.orm import Session

from archive.alerts import Finding
from archive.gallery import demographics
from archive.links import is_denied
from archive.whole_gallery import study_count
from cli.auditing.examine import Examiner
from cli.auditing.load import load, scope_of
from cli.auditing.progress import Plan, Progress
from cli.outcome import InputNotUsable
from cli.system import System
from config.settings import Settings
from retrieval.audit.birthdays import born_together
from retrieval.audit.floor import best_ratio, furthest, least_normalised, least_ratio
from retrieval.audit.gallery import AuditGallery
from retrieval.audit.pairs import Pairs, PairScan, Scale
from retrieval.audit.screen import Neighbours, suspects
from retrieval.audit.settle import settle
from retrieval.headers import Header, Headers
from retrieval.normalisation import Levels
from retrieval.runtime import place_of
from retrieval.verdict import Rates
from workers.index_owner import Network, network_at_work

_MILLION = 1_000_000


@dataclass(frozen=True)
class Outcome:
    """What an audit found.

    Attributes:
        images, persons, studies: what was looked at.
        floor: least normalised cosine of two images of different persons that were looked at closely whatever their
            headers say, in deviations above strangers; None if in a gallery of this size no two images are alike enough
            to name anybody by themselves.
        pairs: how many there were.
        continued: whether it went on where an earlier one had stopped.
        findings: what a person should look at, but for pairs of labels of which one has said that they are no error.
    """

    images: int
    persons: int
    studies: int
    floor: float | None
    pairs: int
    continued: bool
    findings: Sequence[Finding]


def audit(system: System, progress: Progress, bar: Bar, device: str) -> Outcome:
    """Compare every image of the gallery with every other and judge each as if it had come last.

    Nothing is written but the progress, which the caller clears once the findings are kept.

    Args:
        device: where to compare, see `retrieval.runtime.place_of`.
    """
    network = network_at_work(system.settings)
    if place_of(device).type == "cuda" and not torch.cuda.is_available():
        raise InputNotUsable("There is no GPU that can be used here; choose the device cpu or auto.")
    torch.set_num_threads(system.settings.encoder.threads or os.cpu_count() or 1)
    with system.database.read() as session:
        scope = scope_of(session, network, progress.newest())
        reading = bar.add_task("reading", total=scope.images)
        gallery = load(session, network, scope, lambda count: bar.advance(reading, count))
        studies = study_count(session, network.model_id)
        headers = _headers(session, gallery, system.settings)
    known = gallery.levels(network.comparer.calibration.population)
    floor, floor_of_born = (_floor(system, network, gallery, known, said) for said in (0.0, headers.highest))
    plan = Plan.of(gallery, network.model_id, scope.newest, floor)
    going_on = progress.newest() is not None
    continued = progress.begin(plan)
    if going_on and not continued:
        # What was begun fits the archive no longer; all that is there now is looked at instead.
        progress.clear()
        bar.remove_task(reading)
        return audit(system, progress, bar, device)
    scale, found = Scale.of_levels(known.mean, known.deviation), []
    if floor is not None:
        found.append(_compared(PairScan(gallery.embedding, gallery.person, floor, device, scale), progress, bar))
    if floor_of_born is not None:
        scan = PairScan(gallery.embedding, gallery.person, floor_of_born, device, scale)
        found += [scan.among(*rows) for rows in born_together(gallery, headers)]
    pairs = Pairs.joined(found).each_once()
    findings = _judged(system, network, gallery, known, pairs, headers, bar)
    return Outcome(len(gallery), gallery.persons, studies, floor, len(pairs), continued, findings)


def rates_of(system: System) -> Rates:
    """How often things happen, by the site's options."""
    options = system.settings.verdict
    return Rates(options.base_rate, options.duplicate_rate, options.owner_in_gallery)


def _of_judgement(settings: Settings) -> Settings:
    """The same options, with the least probability that an audit reports; the first look is content with less."""
    least = max(settings.verdict.min_probability, settings.audit.min_probability)
    verdict = settings.verdict.model_copy(update={"min_probability": least})
    return settings.model_copy(update={"verdict": verdict})


def _headers(session: Session, gallery: AuditGallery, settings: Settings) -> Headers:
    known = demographics(session, np.unique(gallery.person).tolist())
    return Headers({number: Header(*entry) for number, entry in known.items()}, settings.verdict.header_error_rate)


def _floor(system: System, network: Network, gallery: AuditGallery, known: Levels, log_header: float) -> float | None:
    if gallery.persons < 2:
        return None
    comparer, alike = network.comparer, furthest(known)
    lowest = comparer.calibration.lowest
    highest = max(best_ratio(comparer, alike), lowest)
    least = system.settings.verdict.min_probability
    ratio = least_ratio(rates_of(system), least, gallery.persons - 1, lowest, highest, log_header)
    return None if ratio is None else least_normalised(comparer, ratio, alike)


def _compared(scan: PairScan, progress: Progress, bar: Bar) -> Pairs:
    total = sum(map(scan.work, range(scan.blocks)))
    comparing = bar.add_task("comparing (million pairs)", total=-(-total // _MILLION))
    found, done = [], 0
    for number, pairs in progress.pairs(scan):
        found.append(pairs)
        done += scan.work(number)
        bar.update(comparing, completed=-(-done // _MILLION))
    return Pairs.joined(found)


def _judged(
    system: System, network: Network, gallery: AuditGallery, known: Levels, pairs: Pairs, headers: Headers, bar: Bar
) -> list[Finding]:
    neighbours = Neighbours.of(pairs, len(gallery))
    rows = _suspected(system, network, gallery, known, neighbours, headers, bar)
    looking = bar.add_task("looking closely", total=len(rows))
    with system.database.read() as session:
        examiner = Examiner(session, network, _of_judgement(system.settings), gallery, neighbours, headers)
        done: Callable[[], None] = lambda: bar.advance(looking)  # noqa: E731 (one line says it)
        verdicts = settle(gallery, rows, examiner.persons_alike, examiner.judge, done)
        found = (examiner.finding(row) for row in verdicts)
        return [one for one in found if not is_denied(session, one.kind, one.patient_pk, one.other_patient_pk)]


def _suspected(
    system: System,
    network: Network,
    gallery: AuditGallery,
    known: Levels,
    neighbours: Neighbours,
    headers: Headers,
    bar: Bar,
) -> list[int]:
    judging = bar.add_task("judging", total=len(gallery))
    found = []
    least = system.settings.verdict.min_probability
    judged = suspects(gallery, neighbours, network.comparer, rates_of(system), least, known, headers)
    for row, suspected in enumerate(judged):
        if suspected or gallery.shown_before[row]:
            found.append(row)
        bar.advance(judging)
    return found
