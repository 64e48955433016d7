"""One image: its page, its preview, its thumbnail and what the encoder looked at."""

from __future__ import annotations

import io
from pathlib import Path

from flask import Blueprint, abort, current_app, make_response, render_template, request, send_file
from flask.typing import ResponseReturnValue
from PIL import Image
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, joinedload

from archive.audit import AuditAction, Entry
from archive.files import ImageFiles
from archive.links import persons_labels
from archive.models import WHOLE, Alert, Code, Instance, Series, Study
from archive.review import images_of
from dashboard.access import open_to
from dashboard.attention import overlay
from dashboard.facts import facts
from dashboard.seen import note, note_thumbnail, of_image
from dashboard.services import services
from dashboard.upright import put_right
from dashboard.wording import VERDICTS

blueprint = Blueprint("images", __name__, url_prefix="/images")

THUMBNAIL_SIDE = 192
PREVIEW_WAIT_SECONDS = 6.0
# A page shows dozens of thumbnails; those that are missing must not occupy every thread of the server.
THUMBNAIL_WAIT_SECONDS = 1.5
MOST_PRIORS = 48


@blueprint.get("/<int:instance_id>")
@open_to()
def page(instance_id: int) -> ResponseReturnValue:
    """An image with the facts of its header, its verdict and the other images of its label."""
    with services().database.read() as session:
        image = find_image(session, instance_id)
        others = images_of(session, persons_labels(session, (image.patient_pk,)), MOST_PRIORS, leave_out=image.id)
        code = session.scalar(select(Code.model_id).where(Code.instance_pk == image.id))
        about = or_(Alert.instance_pk == image.id, Alert.other_instance_pk == image.id)
        alerts = session.scalars(select(Alert).where(about).order_by(Alert.id.desc()).limit(20)).all()
    note(*(of_image(one, AuditAction.IMAGE_LISTED) for one in (image, *others)))
    return render_template(
        "image.html",
        image=image,
        others=others,
        facts=facts(image),
        verdict=VERDICTS.get(image.verdict, ""),
        encoded=code is not None,
        alerts=alerts,
    )


@blueprint.get("/<int:instance_id>/preview")
@open_to()
def preview(instance_id: int) -> ResponseReturnValue:
    """The image as JPEG, the way it was compared."""
    image, path = with_preview(instance_id, PREVIEW_WAIT_SECONDS)
    if path is None:
        abort(503)
    note(of_image(image, AuditAction.IMAGE_VIEWED))
    try:
        if not image.righting:
            return send_file(path, mimetype="image/jpeg", conditional=True)
        with Image.open(path) as picture:
            return _jpeg(put_right(picture, image.righting), quality=92)
    except FileNotFoundError:
        # Removed since, as the image was purged or corrected.
        abort(503)


@blueprint.get("/<int:instance_id>/thumbnail")
@open_to()
def thumbnail(instance_id: int) -> ResponseReturnValue:
    """The same as a small JPEG, or a sign that there is no preview, as of a file without readable pixels."""
    image, path = with_preview(instance_id, THUMBNAIL_WAIT_SECONDS)
    if path is None:
        return current_app.send_static_file("no-preview.svg")
    note_thumbnail(image)
    try:
        with Image.open(path) as picture:
            picture.draft("L", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            return _jpeg(put_right(picture, image.righting), quality=82)
    except FileNotFoundError:
        return current_app.send_static_file("no-preview.svg")


@blueprint.get("/<int:instance_id>/attention")
@open_to()
def attention(instance_id: int) -> ResponseReturnValue:
    """Where the encoder looked, as a transparent PNG to lay over the preview."""
    with services().database.read() as session:
        image = find_image(session, instance_id)
        code = session.get(Code, instance_id)
    if code is None:
        abort(404)
    note(Entry(AuditAction.ATTENTION_VIEWED, "instance", image.id, image.patient_pk))
    return picture_of(overlay(code.attention, code.attention_rows, code.box or WHOLE, image.righting), "image/png")


def find_image(session: Session, instance_id: int) -> Instance:
    """The image with the facts of its header loaded; ends the request with 404 when there is none."""
    wanted = select(Instance).where(Instance.id == instance_id)
    header = joinedload(Instance.series).joinedload(Series.study).joinedload(Study.patient)
    return session.scalar(wanted.options(header, joinedload(Instance.patient))) or abort(404)


def with_preview(instance_id: int, seconds: float) -> tuple[Instance, Path | None]:
    """The image and its preview, which is made again when it is missing; None when that takes longer than `seconds`."""
    with services().database.read() as session:
        image = find_image(session, instance_id)
    path = ImageFiles(services().folder).preview_path(instance_id)
    there = path.exists() or services().workers.make_preview(instance_id, path.exists, seconds)
    return image, path if there else None


def _jpeg(picture: Image.Image, quality: int) -> ResponseReturnValue:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return picture_of(file.getvalue(), "image/jpeg")


def picture_of(content: bytes, kind: str) -> ResponseReturnValue:
    """An answer with a picture that was drawn for it."""
    response = make_response(content)
    response.mimetype = kind
    response.add_etag()
    return response.make_conditional(request)
