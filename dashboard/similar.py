"""Similar cases: images of other patients that look like a given one."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from archive.audit import AuditAction, Entry
from archive.models import Instance, Series
from dashboard.access import open_to
from dashboard.asking import By, Found, WorkersSilent
from dashboard.images import find_image
from dashboard.seen import note, of_image
from dashboard.services import services

blueprint = Blueprint("similar", __name__)

COUNTS = (6, 12, 24, 48)


@dataclass(frozen=True)
class Case:
    """An image found, and how alike it is."""

    image: Instance
    found: Found


@blueprint.get("/similar/<int:instance_id>")
@open_to()
def page(instance_id: int) -> ResponseReturnValue:
    """The images most like one, by what they show (findings) or by whom (person)."""
    by: By = "person" if request.args.get("by") == "person" else "findings"
    k = request.args.get("k", 12, int)
    k = k if k in COUNTS else 12
    with services().database.read() as session:
        image = find_image(session, instance_id)
    problem, cases = "", list[Case]()
    try:
        found = services().workers.similar(instance_id, k, by)
        with services().database.read() as session:
            cases = _cases(session, found)
    except WorkersSilent as silent:
        problem = str(silent)
    note(
        Entry(AuditAction.SIMILAR_SEARCHED, "instance", image.id, image.patient_pk),
        *(of_image(case.image, AuditAction.IMAGE_LISTED) for case in cases),
    )
    status = 503 if problem else 200
    return render_template("similar.html", image=image, cases=cases, by=by, k=k, counts=COUNTS, problem=problem), status


def _cases(session: Session, found: list[Found]) -> list[Case]:
    wanted = select(Instance).where(Instance.id.in_([one.instance for one in found]))
    header = joinedload(Instance.series).joinedload(Series.study)
    images = {image.id: image for image in session.scalars(wanted.options(header, joinedload(Instance.patient)))}
    return [Case(images[one.instance], one) for one in found if one.instance in images]
