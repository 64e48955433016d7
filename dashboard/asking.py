"""Asking the workers by task name: similar cases, images laid over each other, and previews that are missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import redis
from celery import Celery
from celery.utils import uuid
from kombu.exceptions import OperationalError

from archive.case_filter import CaseFilter
from config.broker import Task
from config.errors import LungprintError

ANSWER_SECONDS = 8.0
LOOK_SECONDS = 0.03

By = Literal["findings", "person"]


class WorkersSilent(LungprintError):
    """The workers did not answer, could not be asked, or answered with an error."""


@dataclass(frozen=True)
class Found:
    """An image that the index found for another one.

    `cosine` in [-1, 1], `hamming` in bits, `probability` in [0, 1] that both show one person.
    """

    instance: int
    cosine: float
    hamming: int
    probability: float


@dataclass(frozen=True)
class Question:
    """What is asked about similar cases.

    Attributes:
        instance: the image that they are to be like.
        k: how many. offset: how many of the most alike to pass over.
        patient: images of "others", "all" patients, or the "same" alone.
        where: what they must fit besides.
    """

    instance: int
    k: int = 12
    by: By = "findings"
    offset: int = 0
    patient: str = "others"
    where: CaseFilter = field(default_factory=CaseFilter)


class Workers:
    """The workers behind the queue; safe to use from several threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def similar(self, question: Question, most: int, seconds: float = ANSWER_SECONDS) -> list[Found]:
        """The `most` similar images, best first.

        Raises:
            WorkersSilent: no answer within `seconds`, or no index yet.
        """
        wanted = {
            "instance": question.instance,
            "k": most,
            "by": question.by,
            "offset": question.offset,
            "patient": question.patient,
            "where": question.where.as_json(),
        }
        answer = self._answer(Task.SIMILAR, wanted, seconds)
        return [
            Found(int(one["instance"]), float(one["cosine"]), int(one["hamming"]), float(one["probability"]))
            for one in answer
        ]

    def align(self, first: int, second: int, seconds: float = ANSWER_SECONDS) -> str:
        """Have the preview of image `second` laid over that of image `first`; both must be there.

        Returns:
            why they could not be, in one sentence; empty when the result lies in its file.

        Raises:
            WorkersSilent: no answer within `seconds`.
        """
        return str(self._answer(Task.ALIGN, {"first": first, "second": second}, seconds)["problem"])

    def make_preview(self, instance_id: int, made: Callable[[], bool], seconds: float) -> bool:
        """Have a preview made again and wait until `made` says that it is there, `seconds` at most."""
        try:
            self._app.send_task(str(Task.PREVIEW), args=[instance_id], ignore_result=True, retry=False)
        except (OperationalError, redis.RedisError):
            return False
        until = time.monotonic() + seconds
        while not made():
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _answer(self, task: Task, wanted: dict[str, Any], seconds: float) -> Any:
        try:
            task_id = self._send(task, wanted, seconds)
            return self._wait(task_id, seconds)
        except (OperationalError, redis.RedisError) as error:
            raise WorkersSilent(
                "The workers cannot be reached; an administrator can see why on the system page."
            ) from error

    def _send(self, task: Task, wanted: dict[str, Any], seconds: float) -> str:
        # Not Celery.send_task: it would subscribe to the result, which hangs and then fails for good when Redis is
        # away. The result is looked for instead.
        name, task_id = str(task), str(uuid())
        message = self._app.amqp.create_task_message(task_id, name, kwargs=wanted, expires=seconds, ignore_result=False)
        route = self._app.amqp.router.route({}, name)
        with self._app.producer_or_acquire() as producer:
            self._app.amqp.send_task_message(producer, name, message, retry=False, **route)
        return task_id

    def _wait(self, task_id: str, seconds: float) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            # One look: the state and the value come from the same message.
            seen = self._app.backend.get_task_meta(task_id)
            if seen["status"] == "SUCCESS":
                return seen["result"]
            if seen["status"] in ("FAILURE", "REVOKED"):
                raise WorkersSilent("The workers failed at this; the log of the process named match says why.")
            time.sleep(LOOK_SECONDS)
        raise WorkersSilent(
            f"The index did not answer within {seconds:.0f} seconds; it may be starting or busy. Try again in a moment."
        )
