"""How the system is doing, in numbers without patient data: for `lungprint status`, the dashboard and Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from archive.backlog import Backlog, Errand, backlogs
from archive.database import Database
from archive.models import Code, Instance, Patient, Quarantined, Variant, now
from archive.purge import GONE
from archive.review import count_alerts
from archive.states import AUDIT_KINDS, LIVE_KINDS, WAITING, AlertKind, AlertState, ImageState
from config.broker import Queue, redis_url
from config.paths import DataDir
from config.settings import Settings

RATE_MINUTES = 30
REDIS_SECONDS = 1.0
# Newest images among which those of the last minutes are looked for; more than any node receives in that time.
NEWEST = 100_000


@dataclass(frozen=True)
class Rates:
    """Images in each of the last `RATE_MINUTES` whole minutes, oldest first."""

    received: tuple[int, ...]
    matched: tuple[int, ...]

    @property
    def received_per_minute(self) -> float:
        """Mean over the last five minutes."""
        return sum(self.received[-5:]) / 5

    @property
    def matched_per_minute(self) -> float:
        """Mean over the last five minutes."""
        return sum(self.matched[-5:]) / 5


@dataclass(frozen=True)
class SystemStatus:
    """One look at the whole system; a queue's length is None while Redis cannot be reached.

    `alerts` counts those about new images alone, `waiting_by_kind` those of audits too.
    """

    images: Mapping[ImageState, int]
    queues: Mapping[Queue, int | None]
    alerts: Mapping[AlertState, int]
    waiting_by_kind: Mapping[AlertKind, int]
    quarantined: int
    variants: int
    patients: int
    backlogs: Mapping[Errand, Backlog]
    last_received: datetime | None

    @property
    def dead_letters(self) -> int:
        """Images that were given up."""
        return self.images[ImageState.FAILED]

    @property
    def gallery_images(self) -> int:
        """Images that a new one is compared with."""
        return self.images[ImageState.MATCHED]

    @property
    def redis_answers(self) -> bool:
        """Whether the queue's server could be asked."""
        return None not in self.queues.values()

    def as_json(self) -> dict[str, Any]:
        """The object that `lungprint status --json` prints."""
        return {
            "images": {str(state): count for state, count in self.images.items()},
            "queues": {str(queue): length for queue, length in self.queues.items()},
            "dead_letters": self.dead_letters,
            "open_alerts": sum(self.alerts[state] for state in WAITING),
            "open_audit_alerts": sum(self.waiting_by_kind[kind] for kind in AUDIT_KINDS),
            "held_alerts": self.alerts[AlertState.HELD],
            "open_alerts_by_kind": {str(kind): count for kind, count in self.waiting_by_kind.items()},
            "quarantined": self.quarantined,
            "variants": self.variants,
            "patients": self.patients,
            "gallery_images": self.gallery_images,
            **{str(errand): vars(backlog) for errand, backlog in self.backlogs.items()},
            "last_received": self.last_received.isoformat() if self.last_received else None,
        }


def system_status(database: Database, settings: Settings, folder: DataDir) -> SystemStatus:
    """Count what there is; takes about a second at most when Redis does not answer.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    queues = queue_lengths(settings, folder)
    with database.read() as session:
        images = session.execute(select(Instance.state, func.count()).group_by(Instance.state))
        alerts = count_alerts(session)
        return SystemStatus(
            images=dict.fromkeys(ImageState, 0) | {row[0]: row[1] for row in images},
            queues=queues,
            alerts={state: sum(alerts[state, kind] for kind in LIVE_KINDS) for state in AlertState},
            waiting_by_kind={kind: sum(alerts[state, kind] for state in WAITING) for kind in AlertKind},
            quarantined=_count(session, Quarantined),
            variants=_count(session, Variant),
            patients=_patients(session),
            backlogs=backlogs(session),
            last_received=session.scalar(select(Instance.received_at).order_by(Instance.id.desc()).limit(1)),
        )


def queue_lengths(settings: Settings, folder: DataDir) -> dict[Queue, int | None]:
    """Messages that wait in each queue; Celery keeps a queue as a Redis list of the same name."""
    try:
        with redis.Redis.from_url(
            redis_url(settings, folder), socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
        ) as client:
            pipeline = client.pipeline(transaction=False)
            for queue in Queue:
                pipeline.llen(str(queue))
            return dict(zip(Queue, pipeline.execute(), strict=True))
    except redis.RedisError:
        return dict.fromkeys(Queue, None)


def rates(session: Session, at: datetime | None = None) -> Rates:
    """Images received and matched in each of the last minutes before `at`, by default now."""
    end = at or now()
    start = end - timedelta(minutes=RATE_MINUTES)
    newest = session.scalar(select(func.max(Instance.id))) or 0
    received = session.scalars(
        select(Instance.received_at).where(Instance.id > newest - NEWEST, Instance.received_at > start)
    )
    matched = session.scalars(select(Instance.matched_at).where(Instance.matched_at > start))
    return Rates(_by_minute(list(received), start), _by_minute(list(matched), start))


def dead_letters(session: Session, most: int = 200) -> list[Instance]:
    """Images that were given up, the newest first, with their reasons."""
    wanted = select(Instance).where(Instance.state == ImageState.FAILED).options(joinedload(Instance.patient))
    return list(session.scalars(wanted.order_by(Instance.id.desc()).limit(most)))


def quarantined_files(session: Session, most: int = 200) -> list[Quarantined]:
    """Files that were refused as unreadable, the newest first."""
    return list(session.scalars(select(Quarantined).order_by(Quarantined.id.desc()).limit(most)))


def models_in_use(session: Session) -> dict[str, int]:
    """How many images each weight file has encoded, by model id."""
    rows = session.execute(select(Code.model_id, func.count()).group_by(Code.model_id))
    return {row[0]: row[1] for row in rows}


def _patients(session: Session) -> int:
    stored = select(func.count()).select_from(Patient).where(~Patient.issuer.startswith(GONE))
    return session.scalar(stored) or 0


def _count(session: Session, table: type[Quarantined] | type[Variant]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def _by_minute(times: list[datetime] | list[datetime | None], start: datetime) -> tuple[int, ...]:
    counts = [0] * RATE_MINUTES
    for time in times:
        minute = int((time - start).total_seconds() // 60) if time else -1
        if 0 <= minute < RATE_MINUTES:
            counts[minute] += 1
    return tuple(counts)
