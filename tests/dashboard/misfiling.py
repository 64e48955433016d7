"""A misfiled image with everything that the dashboard shows of it, filed straight into a database."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance, now
from archive.states import AlertKind, AlertState, ImageState, Role
from config.paths import DataDir
from retrieval.phantom import random_exam, random_person, render
from tests.archive.filing import enlist, file_alert, file_code, file_image, file_patient

SIDE = 256


@dataclass(frozen=True)
class Case:
    """Ids of what is filed: a probe labelled Sokolova that shows Smith, both patients' priors, and a dead letter."""

    probe: int
    own_prior: int
    rival: int
    stranger: int
    failed: int
    alert: int
    weaker_alert: int
    held_alert: int


def draw_previews() -> tuple[bytes, bytes]:
    """JPEG previews of two synthetic people."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(2):
        file = io.BytesIO()
        gray = render(random_person(rng), random_exam(rng), SIDE)
        Image.fromarray(np.uint8(255 * gray)).save(file, "JPEG")
        made.append(file.getvalue())
    return made[0], made[1]


def file_case(database: Database, folder: DataDir, previews: tuple[bytes, bytes]) -> Case:
    """File it, with a user of each role."""

    def picture(instance: Instance, person: int) -> None:
        path = ImageFiles(folder).preview_path(instance.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(previews[person])

    with database.write() as session:
        for role in Role:
            enlist(session, role)
        own = file_patient(session, "MRN-1", "Sokolova^Vera", "HOSP", birth_date="19580412", sex="F")
        other = file_patient(session, "MRN-2", "山田^太郎", "HOSP", birth_date="19610930", sex="M")
        third = file_patient(session, "MRN-3", "Smith^John")
        own_prior, rival = file_image(session, own, 2019), file_image(session, other, 2020)
        probe, stranger = file_image(session, own, 2024, encoded_at=now()), file_image(session, third)
        failed = file_image(session, own, 2025, state=ImageState.FAILED, reason="pixel data end early", attempts=5)
        for image, person in ((own_prior, 0), (rival, 1), (probe, 1), (stranger, 0)):
            picture(image, person)
        file_code(session, probe, bytes(range(0, 256, 4)), 8)
        evidence = {
            "gallery_patients": 456,
            "gallery_images": 1234,
            "base_rate": 0.0005,
            "cause": "comparison",
            "own": {"images": 3, "log_lr": -6.0, "best_instance": own_prior.id, "best_probability": 0.004},
            "other": {"images": 2, "log_lr": 9.0, "best_instance": rival.id, "best_probability": 0.991},
        }
        alert = file_alert(session, probe, rival, probability=0.97, evidence=evidence)
        weaker = file_alert(session, stranger, kind=AlertKind.PRIOR_MISMATCH, probability=0.3)
        held = file_alert(session, own_prior, stranger, probability=0.05, state=AlertState.HELD)
        return Case(probe.id, own_prior.id, rival.id, stranger.id, failed.id, alert.id, weaker.id, held.id)
