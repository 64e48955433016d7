"""An image's way through the states: what was found, what failed, when to try again, when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.models import WHOLE, Box, Code, Instance, now
from archive.states import ImageState, check_step
from config.settings import Retries, Workers

# The direct way (a message to the next worker) is given this long before the reconciler helps.
GRACE_SECONDS = 15.0
LONGEST_REASON = 256


@dataclass(frozen=True)
class Picture:
    """What decoding told about an image: size as stored, digest of the samples, the view the header names."""

    rows: int
    columns: int
    pixel_sha256: str
    view: str


@dataclass(frozen=True, eq=False)
class Encoding:
    """What the network said about one image.

    Attributes:
        model_id: digest of the weight file. embedding: float32 (dim,), L2-normalised. code: uint8 (bits/8,).
        attention: float32 (h, w) in [0, 1]. box: the part of the image that it covers.
        righting: what was done to the image before, in words; empty for one that is stored the right way.
    """

    model_id: str
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]
    attention: NDArray[np.float32]
    box: Box = WHOLE
    righting: str = ""


def record_encoding(session: Session, instance_id: int, picture: Picture, encoding: Encoding) -> bool:
    """Store an image's codes; one that was RECEIVED becomes ENCODED, one that is further on keeps its state.

    Returns:
        whether anything was stored; not for an image that was set aside in the meantime, or that is gone.
    """
    instance = _locked(session, instance_id)
    if instance is None or instance.state in (ImageState.UNSUITABLE, ImageState.FAILED):
        return False
    _describe(instance, picture)
    attention = np.rint(np.clip(encoding.attention, 0.0, 1.0) * 255.0).astype(np.uint8)
    code = session.get(Code, instance_id) or Code(instance_pk=instance_id)
    code.model_id = encoding.model_id
    code.embedding = encoding.embedding.astype("<f4").tobytes()
    code.code = encoding.code.tobytes()
    code.attention = attention.tobytes()
    code.attention_rows = attention.shape[0]
    code.box = list(encoding.box)
    session.add(code)
    instance.encoded_at, instance.righting = now(), encoding.righting
    instance.attempts, instance.reason = 0, ""
    if instance.state is ImageState.RECEIVED:
        _move(instance, ImageState.ENCODED, GRACE_SECONDS)
    return True


def mark_unsuitable(session: Session, instance_id: int, reason: str, picture: Picture | None = None) -> bool:
    """Set a RECEIVED image aside for good, with the reason; one in another state stays as it is.

    Returns:
        whether the image was set aside.
    """
    instance = _locked(session, instance_id)
    if instance is None or instance.state is not ImageState.RECEIVED:
        return False
    if picture is not None:
        _describe(instance, picture)
    instance.reason = reason[:LONGEST_REASON]
    _move(instance, ImageState.UNSUITABLE, 0.0)
    return True


def record_failure(session: Session, instance_id: int, reason: str, options: Workers) -> ImageState | None:
    """Count a failed attempt; the next one is due after a pause that doubles, until the image is a dead letter.

    A MATCHED image has its verdict: it waits for the next attempt, but is never made a dead letter.

    Args:
        reason: one sentence without patient data.

    Returns:
        the image's state afterwards; None when the image is gone.
    """
    instance = _locked(session, instance_id)
    if instance is None or instance.state in (ImageState.UNSUITABLE, ImageState.FAILED):
        return None if instance is None else instance.state
    instance.attempts += 1
    instance.reason = reason[:LONGEST_REASON]
    if instance.attempts >= options.max_attempts and instance.state is not ImageState.MATCHED:
        _move(instance, ImageState.FAILED, 0.0)
    else:
        instance.due_at = now() + timedelta(seconds=pause_after(instance.attempts, options))
    return instance.state


def pause_after(attempts: int, options: Retries) -> float:
    """Seconds to wait after the given number of failed attempts, at least one: doubled each time, up to a limit."""
    doublings = min(attempts - 1, 60)
    return float(min(options.retry_seconds * 2.0**doublings, options.retry_max_seconds))


def due(session: Session, state: ImageState, limit: int) -> list[int]:
    """Ids of images in a state whose time has come, the longest due first."""
    query = select(Instance.id).where(Instance.state == state, Instance.due_at <= now())
    return list(session.scalars(query.order_by(Instance.due_at, Instance.id).limit(limit)))


def to_judge_again(session: Session, limit: int) -> list[int]:
    """Ids of MATCHED images that are to be compared once more, the longest due first."""
    query = select(Instance.id).where(
        Instance.judge_again, Instance.state == ImageState.MATCHED, Instance.due_at <= now()
    )
    return list(session.scalars(query.order_by(Instance.due_at, Instance.id).limit(limit)))


def outdated(session: Session, model_id: str, options: Workers, limit: int) -> list[int]:
    """Ids of encoded images whose codes come from other weights, as far as they are due and not given up."""
    query = (
        select(Instance.id)
        .join(Code)
        .where(
            Code.model_id != model_id,
            Instance.state.in_((ImageState.ENCODED, ImageState.MATCHED)),
            Instance.attempts < options.max_attempts,
            Instance.due_at <= now(),
        )
    )
    return list(session.scalars(query.order_by(Instance.id).limit(limit)))


def postpone(session: Session, instance_ids: list[int], seconds: float) -> None:
    """Say that images were just handed on, so that nobody hands them on again at once."""
    later = now() + timedelta(seconds=seconds)
    session.execute(update(Instance).where(Instance.id.in_(instance_ids)).values(due_at=later))


def retry(session: Session, instance_id: int) -> bool:
    """Give an image that was set aside (FAILED or UNSUITABLE) another try, with all attempts before it.

    Returns:
        whether the image is RECEIVED again; it is due at once.
    """
    instance = _locked(session, instance_id)
    if instance is None or instance.state not in (ImageState.FAILED, ImageState.UNSUITABLE):
        return False
    instance.attempts, instance.reason, instance.righting = 0, "", ""
    _move(instance, ImageState.RECEIVED, 0.0)
    return True


def _locked(session: Session, instance_id: int) -> Instance | None:
    return session.get(Instance, instance_id, with_for_update=True)


def _move(instance: Instance, state: ImageState, due_seconds: float) -> None:
    check_step(instance.state, state)
    instance.state = state
    instance.due_at = now() + timedelta(seconds=due_seconds)


def _describe(instance: Instance, picture: Picture) -> None:
    instance.rows, instance.columns = picture.rows, picture.columns
    instance.pixel_sha256 = picture.pixel_sha256
    instance.view = picture.view
