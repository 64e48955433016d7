"""The aligned view of an alert: the image on the right laid over the new one, computed when somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, abort, jsonify, url_for
from flask.typing import ResponseReturnValue

from archive.audit import AuditAction
from archive.files import ImageFiles
from archive.models import Instance
from archive.review import alert_detail
from archive.states import Role
from dashboard.access import open_to
from dashboard.alerts import right_choices
from dashboard.aligned import Part, draw, read_aligned
from dashboard.asking import WorkersSilent
from dashboard.images import picture_of, with_preview
from dashboard.seen import note, of_image
from dashboard.services import services
from dashboard.wording import aligned_caption

blueprint = Blueprint("overlays", __name__, url_prefix="/alerts/<int:alert_id>/aligned/<int:instance_id>")

PREVIEW_WAIT_SECONDS = 6.0


@blueprint.get("/")
@open_to(Role.QA, Role.ADMIN)
def state(alert_id: int, instance_id: int) -> ResponseReturnValue:
    """Lay the image over the new one if nobody has yet; JSON: addresses of the pictures and a caption, or a problem."""
    first, second = _images(alert_id, instance_id)
    target = ImageFiles(services().folder).aligned_path(first.id, second.id)
    problem = "" if _is_fresh(target, first, second) else _align(first, second)
    if problem or not target.exists():
        return jsonify(problem=problem or "The aligned image is gone; try again.")
    pictures = {
        str(part): url_for("overlays.picture", alert_id=alert_id, instance_id=instance_id, part=str(part))
        for part in Part
    }
    return jsonify(problem="", caption=aligned_caption(read_aligned(target).correlation), pictures=pictures)


@blueprint.get("/<part>")
@open_to(Role.QA, Role.ADMIN)
def picture(alert_id: int, instance_id: int, part: str) -> ResponseReturnValue:
    """One picture of the aligned view, once it is computed."""
    if part not in set(Part):
        abort(404)
    first, second = _images(alert_id, instance_id)
    target = ImageFiles(services().folder).aligned_path(first.id, second.id)
    if not target.exists():
        abort(404)
    note(*(of_image(image, AuditAction.ALIGNMENT_VIEWED) for image in (first, second)))
    return picture_of(draw(read_aligned(target), Part(part)), "image/jpeg")


def _images(alert_id: int, instance_id: int) -> tuple[Instance, Instance]:
    """The new image of an alert and one that its page can show on the right; ends the request with 404 otherwise."""
    with services().database.read() as session:
        detail = alert_detail(session, alert_id)
    return detail.alert.instance, right_choices(detail).get(instance_id) or abort(404)


def _is_fresh(target: Path, *images: Instance) -> bool:
    """Whether the file was made from both previews as they are: an image that is corrected gets another one."""
    previews = [ImageFiles(services().folder).preview_path(image.id) for image in images]
    if not all(path.exists() for path in (target, *previews)):
        return False
    return target.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in previews)


def _align(first: Instance, second: Instance) -> str:
    paths: list[Path | None] = [with_preview(image.id, PREVIEW_WAIT_SECONDS)[1] for image in (first, second)]
    if None in paths:
        return "One of the two images has no preview, so they cannot be laid over each other."
    try:
        return services().workers.align(first.id, second.id)
    except WorkersSilent as silent:
        return str(silent)
