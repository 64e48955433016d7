"""Similar cases: images that look like a given one, narrowed by date, sex and age, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from archive.audit import AuditAction, Entry
from archive.case_filter import SEXES, CaseFilter, FilterInvalid
from archive.models import Instance, Series
from dashboard.access import open_to
from dashboard.asking import Found, Question, WorkersSilent
from dashboard.images import find_image
from dashboard.seen import note, of_image
from dashboard.services import services
from dashboard.wording import SEXES as SEX_NAMES

blueprint = Blueprint("similar", __name__)

COUNTS = (6, 12, 24, 48)
PATIENTS = {"others": "Other patients", "all": "All patients", "same": "This patient"}
KEPT = ("by", "k", "patient", "since", "until", "sex", "age_from", "age_to")
MOST_PAGES = 100
LARGEST_ANSWER = 250


@dataclass(frozen=True)
class Case:
    """An image found, and how alike it is."""

    image: Instance
    found: Found


@dataclass(frozen=True)
class Answer:
    """A page of cases, most alike first; `more` if there is another."""

    cases: tuple[Case, ...]
    more: bool


@blueprint.get("/similar/<int:instance_id>")
@open_to()
def page(instance_id: int) -> ResponseReturnValue:
    """The images most like one, by what they show (findings) or by whom (person)."""
    with services().database.read() as session:
        image = find_image(session, instance_id)
    problem, status, answer, number = "", 200, Answer((), False), 1
    k = request.args.get("k", 12, int)
    question = Question(image.id, k=k if k in COUNTS else 12)
    try:
        number = _number()
        question = _question(image.id, question.k, number)
        answer = _answer(question)
    except FilterInvalid as error:
        problem, status = str(error), 400
    except WorkersSilent as silent:
        problem, status = str(silent), 503
    _note(image, answer)
    return render_template(
        "similar.html",
        image=image,
        answer=answer,
        question=question,
        page=number,
        args=_kept(),
        counts=COUNTS,
        patients=PATIENTS,
        sexes={sex: SEX_NAMES[sex] for sex in SEXES},
        problem=problem,
    ), status


@blueprint.get("/api/v1/similar/<int:instance_id>")
@open_to(basic=True)
def api(instance_id: int) -> ResponseReturnValue:
    """The same as JSON: `results`, most alike first, and the number of the next page in `next`, null at the end."""
    with services().database.read() as session:
        image = find_image(session, instance_id)
    try:
        number = _number()
        k = min(max(1, request.args.get("k", 10, int)), LARGEST_ANSWER)
        answer = _answer(_question(image.id, k, number))
    except FilterInvalid as error:
        return jsonify(error="Not understood", advice=str(error)), 400
    except WorkersSilent as silent:
        return jsonify(error="No answer", advice=str(silent)), 503
    _note(image, answer)
    return jsonify(results=[_json(case) for case in answer.cases], next=number + 1 if answer.more else None)


def _kept() -> dict[str, str]:
    """What the address of every further page of this search says."""
    return {name: value for name in KEPT if (value := request.args.get(name, ""))}


def _number() -> int:
    return min(max(1, request.args.get("page", 1, int)), MOST_PAGES)


def _question(instance_id: int, k: int, number: int) -> Question:
    """What the request asks for.

    Raises:
        FilterInvalid: the filter is impossible.
    """
    patient = request.args.get("patient", "others")
    return Question(
        instance_id,
        k=k,
        by="person" if request.args.get("by") == "person" else "findings",
        offset=(number - 1) * k,
        patient=patient if patient in PATIENTS else "others",
        where=CaseFilter.read(request.args),
    )


def _answer(question: Question) -> Answer:
    # One more than is shown tells whether there is another page.
    found = services().workers.similar(question, question.k + 1)
    with services().database.read() as session:
        return Answer(tuple(_cases(session, found[: question.k])), len(found) > question.k)


def _cases(session: Session, found: list[Found]) -> list[Case]:
    wanted = select(Instance).where(Instance.id.in_([one.instance for one in found]))
    header = joinedload(Instance.series).joinedload(Series.study)
    images = {image.id: image for image in session.scalars(wanted.options(header, joinedload(Instance.patient)))}
    return [Case(images[one.instance], one) for one in found if one.instance in images]


def _json(case: Case) -> dict[str, Any]:
    acquired = case.image.series.study.acquired_at
    return {
        "instance": case.image.id,
        "patient_id": case.image.patient.patient_id,
        "sop_instance_uid": case.image.sop_instance_uid,
        "acquired": None if acquired is None else acquired.isoformat(),
        "cosine": case.found.cosine,
        "hamming": case.found.hamming,
        "probability": case.found.probability,
    }


def _note(image: Instance, answer: Answer) -> None:
    note(
        Entry(AuditAction.SIMILAR_SEARCHED, "instance", image.id, image.patient_pk),
        *(of_image(case.image, AuditAction.IMAGE_LISTED) for case in answer.cases),
    )
