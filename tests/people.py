"""A crowd of people as a network would see them: embeddings and codes in clusters, with a calibration that fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from archive.models import Instance
from archive.states import ImageState
from retrieval.comparison import Comparer
from retrieval.normalisation import Population
from tests.calibrations import straight
from tests.filed import add_code, file_image
from workers.index_owner import Network

DIM, BITS = 64, 64
MODEL = "crowd"
# Cosines of two people of the crowd lie around 0 with a deviation of 1/8.
CALIBRATION = straight(MODEL, BITS // 2, -8.0, 3.0, -4.0, -4.3, 11.7, population=Population(0.0, 0.125))
NETWORK = Network(MODEL, DIM, BITS, Comparer(CALIBRATION, None))


@dataclass
class Crowd:
    """Draws images of people, who are numbers; `seed` makes the people, `day` the exams."""

    seed: int = 0
    day: int = 0
    spread: float = 0.35

    def __post_init__(self) -> None:
        self._planes = np.random.default_rng(self.seed).normal(size=(DIM, BITS // 2))
        self._exams = np.random.default_rng([self.seed, self.day, 1])

    def embedding(self, person: int) -> NDArray[np.float32]:
        """A new image of a person: float32 (64,), unit length, about 0.89 from another of the same person."""
        centre = np.random.default_rng([self.seed, person]).normal(size=DIM)
        vector = centre + self.spread * self._exams.normal(size=DIM)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def code(self, embedding: NDArray[np.float32], findings: int = 0) -> NDArray[np.uint8]:
        """Sides of random planes for the identity half; `findings` as bits, from the last one, for the other half."""
        identity = np.packbits(embedding @ self._planes > 0)
        return np.concatenate([identity, np.frombuffer(findings.to_bytes(BITS // 16, "big"), np.uint8)])

    def take(
        self,
        session: Session,
        person: int,
        label: str | None = None,
        study: str = "",
        state: ImageState = ImageState.ENCODED,
        pixels: str = "",
        findings: int = 0,
        model_id: str = MODEL,
    ) -> Instance:
        """File an encoded image of a person under a label, by default their own, `P` and the number."""
        image = file_image(session, f"P{person}" if label is None else label, study, state, pixels=pixels)
        embedding = self.embedding(person)
        add_code(session, image, embedding, self.code(embedding, findings), model_id)
        return image
