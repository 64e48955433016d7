"""The aligned view of an alert: the image on the right laid over the new one, computed when somebody asks for it."""

from __future__ import annotations

import logging
from pathlib import Path

from flask import Blueprint, abort, jsonify, url_for
from flask.typing import ResponseReturnValue

from archive.audit import AuditAction
from archive.files import ImageFiles
from archive.models import Instance
from archive.overlays import NO_PREVIEW, made_from
from archive.review import alert_detail
from archive.states import Role
from dashboard.access import open_to
from dashboard.alerts import right_choices
from dashboard.aligned import Aligned, Part, draw, read_aligned
from dashboard.asking import WorkersSilent
from dashboard.images import picture_of, with_preview
from dashboard.seen import note, of_image
from dashboard.services import services
from dashboard.wording import aligned_caption

logger = logging.getLogger(__name__)

blueprint = Blueprint("overlays", __name__, url_prefix="/alerts/<int:alert_id>/aligned/<int:instance_id>")

PREVIEW_WAIT_SECONDS = 6.0


@blueprint.get("/")
@open_to(Role.QA, Role.ADMIN)
def state(alert_id: int, instance_id: int) -> ResponseReturnValue:
    """Lay the image over the new one if nobody has yet; JSON: addresses of the pictures and a caption, or a problem."""
    first, second = _images(alert_id, instance_id)
    problem, found = "", _aligned(first, second)
    if found is None:
        problem, found = _align(first, second), _aligned(first, second)
    if problem or found is None:
        return jsonify(problem=problem or "The images have changed meanwhile; try again.")
    pictures = {
        str(part): url_for("overlays.picture", alert_id=alert_id, instance_id=instance_id, part=str(part))
        for part in Part
    }
    return jsonify(problem="", caption=aligned_caption(found.correlation), pictures=pictures)


@blueprint.get("/<part>")
@open_to(Role.QA, Role.ADMIN)
def picture(alert_id: int, instance_id: int, part: str) -> ResponseReturnValue:
    """One picture of the aligned view, once it is computed."""
    if part not in set(Part):
        abort(404)
    first, second = _images(alert_id, instance_id)
    found = _aligned(first, second) or abort(404)
    note(*(of_image(image, AuditAction.ALIGNMENT_VIEWED) for image in (first, second)))
    return picture_of(draw(found, Part(part)), "image/jpeg")


def _images(alert_id: int, instance_id: int) -> tuple[Instance, Instance]:
    """The new image of an alert and one that its page can show on the right; ends the request with 404 otherwise."""
    with services().database.read() as session:
        detail = alert_detail(session, alert_id)
    return detail.alert.instance, right_choices(detail).get(instance_id) or abort(404)


def _aligned(first: Instance, second: Instance) -> Aligned | None:
    """The second image laid over the first, if it was made from both as they are now."""
    files = ImageFiles(services().folder)
    try:
        found = read_aligned(files.aligned_path(first.id, second.id))
        return found if found.made_from == made_from(files, first, second) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("images %d and %d are laid over each other anew: %s", first.id, second.id, type(error).__name__)
        return None


def _align(first: Instance, second: Instance) -> str:
    paths: list[Path | None] = [with_preview(image.id, PREVIEW_WAIT_SECONDS)[1] for image in (first, second)]
    if None in paths:
        return NO_PREVIEW
    try:
        return services().workers.align(first.id, second.id)
    except WorkersSilent as silent:
        return str(silent)
