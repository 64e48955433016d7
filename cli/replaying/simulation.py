"""A round judged again in larger galleries, whose strangers have scores drawn from those measured in the round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import select

from archive.alerts import label_key, record_key
from archive.gallery import embeddings_of
from archive.models import Instance, Patient
from archive.states import AlertKind, AlertState, ImageState
from cli.demonstration.filing import instance_uid
from cli.demonstration.films import Taken
from cli.replaying.kinds import ErrorKind
from cli.replaying.outcome import Raised, RoundOutcome, Truth
from cli.replaying.pipeline import Pipeline
from cli.replaying.plan import Plan
from retrieval.evaluation.larger_gallery import Impostors, enlarged, measured
from retrieval.verdict import Evidence, Rates, Verdict, VerdictKind, judge

GALLERIES = (10_000, 100_000, 1_000_000)
# Draws of strangers for each round: as many as make about so many verdicts in each gallery, at most ten.
VERDICTS = 1_000
MOST_DRAWS = 10
# Alerts kept for 1,000 studies, of wrong labels and of second records each; no budget is larger.
KEPT_PER_1000 = 100.0
ADULT = 18.0
# Verdicts that raise an alert have the alert's name.
ALERTS = {kind: AlertKind(kind.value) for kind in VerdictKind if kind.value in set(AlertKind)}


@dataclass(frozen=True)
class _Gallery:
    """What the database knows: ids by the number of the shot, labels of these ids, Patient IDs by label."""

    instance: Mapping[int, int]
    label: Mapping[int, int]
    patient_id: Mapping[int, str]


def simulated(
    measured_round: RoundOutcome, plan: Plan, pipeline: Pipeline, evidence: Mapping[int, Evidence], seed: int
) -> RoundOutcome:
    """The round with its simulations.

    Args:
        evidence: behind each verdict, by the number of the shot.
    """
    rng = np.random.default_rng([seed, plan.delivery.seed])
    known = _gallery(pipeline, plan)
    impostors = _impostors(pipeline, plan, known, rng)
    draws = max(1, min(MOST_DRAWS, VERDICTS // max(len(evidence), 1)))
    galleries = {
        size: [_draw(measured_round, plan, pipeline, known, evidence, impostors, size, rng) for _ in range(draws)]
        for size in GALLERIES
    }
    return replace(measured_round, simulated=galleries)


def stratum(group: str, film: Taken) -> str:
    """Images that could be taken for one another: dataset, view, children or adults, as far as known."""
    age = "" if film.age is None else "child" if film.age < ADULT else "adult"
    return "/".join((group, film.view.upper()[:2], age))


def _draw(
    measured_round: RoundOutcome,
    plan: Plan,
    pipeline: Pipeline,
    known: _Gallery,
    evidence: Mapping[int, Evidence],
    impostors: Impostors,
    size: int,
    rng: np.random.Generator,
) -> list[Raised]:
    options, keep = pipeline.settings.verdict, pipeline.settings.index.keep
    rates = Rates(options.base_rate, options.duplicate_rate, options.owner_in_gallery)
    truth = Truth(plan)
    alerts: dict[str, dict[str, Any]] = {}
    for number, one in evidence.items():
        film = plan.delivery.shots[number].film
        strangers = max(size - one.other_persons, 0)
        best = impostors.best_of(stratum(film.group, film.content), strangers, keep, rng)
        verdict = judge(enlarged(one, best, size, keep), rates, options.min_probability)
        if verdict.kind in ALERTS and verdict.kind is not VerdictKind.DUPLICATE_IMAGE:
            key, alert = _alert(verdict, number, plan, known)
            if key not in alerts or alerts[key]["probability"] < alert["probability"]:
                alerts[key] = alert
    raised = sorted((truth.of(alert) for alert in alerts.values()), key=lambda one: -one.probability)
    facts = [alert for alert in measured_round.alerts if alert.kind is AlertKind.DUPLICATE_IMAGE]
    most = round(KEPT_PER_1000 * measured_round.studies / 1000)
    labels, records = (
        [alert for alert in raised if (alert.kind is AlertKind.DUPLICATE_RECORD) == is_record][:most]
        for is_record in (False, True)
    )
    return labels + records + facts


def _alert(verdict: Verdict, number: int, plan: Plan, known: _Gallery) -> tuple[str, dict[str, Any]]:
    """An alert as `archive.alerts` would name and list it."""
    delivery, instance = plan.delivery, known.instance[number]
    key = label_key(instance)
    if verdict.kind is VerdictKind.DUPLICATE_RECORD and verdict.other is not None:
        key = record_key(known.label[instance], verdict.other)
    return key, {
        "kind": ALERTS[verdict.kind],
        "probability": verdict.probability,
        "state": AlertState.OPEN,
        "sop_instance_uid": instance_uid(delivery.seed, number),
        "patient_id": known.patient_id[known.label[instance]],
        "other_patient_id": None if verdict.other is None else known.patient_id.get(verdict.other),
    }


def _gallery(pipeline: Pipeline, plan: Plan) -> _Gallery:
    numbers = {instance_uid(plan.delivery.seed, shot.number): shot.number for shot in plan.delivery.shots}
    with pipeline.database.read() as session:
        rows = session.execute(
            select(Instance.id, Instance.sop_instance_uid, Instance.patient_pk, Instance.state)
        ).all()
        patients = {row.id: row.patient_id for row in session.execute(select(Patient.id, Patient.patient_id))}
    matched = [row for row in rows if row.state is ImageState.MATCHED]
    return _Gallery(
        {numbers[row.sop_instance_uid]: row.id for row in matched},
        {row.id: row.patient_pk for row in matched},
        patients,
    )


def _impostors(pipeline: Pipeline, plan: Plan, known: _Gallery, rng: np.random.Generator) -> Impostors:
    """Scores of different persons among the round's images, by who they really show."""
    shots = [
        plan.delivery.shots[number]
        for number in sorted(known.instance)
        if plan.errors.get(number) is not ErrorKind.RESENT
    ]
    with pipeline.database.read() as session:
        images = embeddings_of(session, [known.instance[shot.number] for shot in shots])
    place = {instance: row for row, instance in enumerate(images.instance.tolist())}
    rows = [place[known.instance[shot.number]] for shot in shots]
    numbers: dict[str, int] = {}
    persons = np.array([numbers.setdefault(shot.film.person, len(numbers)) for shot in shots], np.int64)
    strata: Sequence[str] = [stratum(shot.film.group, shot.film.content) for shot in shots]
    return measured(pipeline.comparer, images.embedding[rows], images.code[rows], persons, strata, rng)
