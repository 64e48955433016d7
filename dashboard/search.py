"""Finding a patient's images by Patient ID or accession number, which travel in the request's body alone."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import func, or_, select
from sqlalchemy.orm import joinedload

from archive.audit import AuditAction, Entry
from archive.links import persons_labels
from archive.models import Instance, Patient, Series, Study
from dashboard.access import open_to
from dashboard.seen import note, of_image
from dashboard.services import services

blueprint = Blueprint("search", __name__)

MOST_IMAGES = 200


@blueprint.get("/search")
@open_to()
def page() -> ResponseReturnValue:
    """The form."""
    return render_template("search.html", wanted="", images=None)


@blueprint.post("/search")
@open_to()
def find() -> ResponseReturnValue:
    """Images of every patient with this ID, whoever issued it, or of the study with this accession number.

    Those of Patient IDs that were joined with it are shown too.
    """
    wanted = request.form.get("wanted", "").strip()[:128]
    images = _find(wanted) if wanted else ()
    patients = sorted({image.patient_pk for image in images})
    note(
        *(
            [Entry(AuditAction.PATIENT_SEARCHED, "", None, pk) for pk in patients]
            or [Entry(AuditAction.PATIENT_SEARCHED)]
        ),
        *(of_image(image, AuditAction.IMAGE_LISTED) for image in images),
    )
    return render_template("search.html", wanted=wanted, images=images, most=MOST_IMAGES)


def _find(wanted: str) -> tuple[Instance, ...]:
    with services().database.read() as session:
        named = set(session.scalars(select(Patient.id).where(Patient.patient_id == wanted)))
        query = (
            select(Instance)
            .join(Instance.series)
            .join(Series.study)
            .where(
                or_(
                    Instance.patient_pk.in_(persons_labels(session, named)),
                    Instance.series_pk.in_(
                        select(Series.id).join(Series.study).where(Study.accession_number == wanted)
                    ),
                )
            )
            .options(joinedload(Instance.series).joinedload(Series.study), joinedload(Instance.patient))
            .order_by(Instance.patient_pk, func.coalesce(Study.acquired_at, Instance.received_at).desc())
            .limit(MOST_IMAGES)
        )
        return tuple(session.scalars(query))
