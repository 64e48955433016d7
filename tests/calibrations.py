"""A calibration worked out by hand: a straight curve between two bounds."""

from __future__ import annotations

from retrieval.calibration import Calibration, Fusion
from retrieval.normalisation import Population
from retrieval.tail import Draw, ImpostorTail

STANDARD = Population(0.0, 1.0)
# Of scores of two persons, half lie above 0; beyond 1 they get rarer by a factor of e for every deviation.
TAIL = ImpostorTail((-1.0, 0.0, 1.0), (1.0, 0.5, 0.1), (Draw(0.1, 0.0, 1.0),))


def straight(
    model_id: str,
    identity_bits: int,
    intercept: float,
    cosine: float,
    hamming: float = 0.0,
    lowest: float = -5.0,
    highest: float = 5.0,
    verification: float = 0.0,
    population: Population = STANDARD,
    tail: ImpostorTail = TAIL,
) -> Calibration:
    """Log ratio = intercept + score, kept within two bounds; cosines count by deviations of `population`."""
    fusion = Fusion(cosine, hamming, verification)
    return Calibration(
        model_id,
        identity_bits,
        fusion,
        (lowest - intercept, highest - intercept),
        (lowest, highest),
        population,
        tail,
    )
