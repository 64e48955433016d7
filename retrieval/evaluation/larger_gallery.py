"""A measured stream in a gallery of any size, simulated: more strangers, with scores drawn from those measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrieval.calibration import Calibration
from retrieval.comparison import Comparer
from retrieval.normalisation import Strangers
from retrieval.verdict import Evidence, Person

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

# Images of a stratum that are compared with each other; beyond, a sample.
MOST_COMPARED = 3_000
# A stratum with fewer comparisons of two persons borrows those of all.
FEWEST_SCORES = 300
# Simulated strangers are numbered from here on, where no person of the archive is.
_FIRST_STRANGER = 1 << 48
# Points of the curve from rarity to score.
_STEPS = 4_096


@dataclass(frozen=True, eq=False)
class Impostors:
    """What comparing two persons gives, as rarities: the share of pairs of two persons that are at least so alike.

    Attributes:
        of_stratum: float64 (n,), ascending, in (0, 1], for each stratum (images that could be taken for one another).
        everywhere: float64 (m,), ascending, those of all strata together.
        calibration: knows what a rarity is worth, and how rare it is to be more alike than any pair measured.
    """

    of_stratum: Mapping[str, Floats]
    everywhere: Floats
    calibration: Calibration

    def rarities(self, stratum: str) -> Floats:
        """Those float64 (n,), ascending, of a stratum, or of all if it has too few."""
        own = self.of_stratum.get(stratum)
        return self.everywhere if own is None or len(own) < FEWEST_SCORES else own

    def best_of(self, stratum: str, strangers: int, keep: int, rng: np.random.Generator) -> Floats:
        """Draw so many strangers and return the `keep` highest natural-log likelihood ratios, float64, descending.

        The order statistics are drawn directly, so a million strangers cost no more than a hundred. Beyond the most
        alike pair of the stratum its rarity is extrapolated as the calibration's tail is.

        Source: Rényi 1953, Acta Mathematica Hungarica 4:191: ordered uniforms are ratios of sums of exponentials.
        """
        known, keep = self.rarities(stratum), min(keep, strangers)
        if not len(known) or not keep:
            return np.empty(0)
        sums = np.cumsum(rng.exponential(size=keep))
        places = len(known) * sums / (sums[-1] + rng.gamma(strangers + 1 - keep))
        counted = known[np.clip(np.ceil(places).astype(np.int64) - 1, 0, len(known) - 1)]
        return self._ratios(np.where(places < 1.0, known[0] * places, counted))

    def _ratios(self, rarities: Floats) -> Floats:
        scores, shares = self._curve
        # np.interp wants ascending places: the rarest last, so from the least alike on.
        found = np.interp(-np.log(rarities), -np.log(shares), scores)
        return self.calibration.log_likelihood_ratio(found)

    @cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        """Scores float64 (k,), ascending, and how rare each is between two persons."""
        lowest = min(self.calibration.scores[0], self.calibration.tail.quantiles[0])
        highest = max(self.calibration.scores[-1], self.calibration.tail.threshold)
        scores = np.linspace(lowest, highest, _STEPS)
        return scores, self.calibration.tail.share_above(scores)


def measured(
    comparer: Comparer,
    embedding: npt.NDArray[np.float32],
    code: npt.NDArray[np.uint8],
    persons: Numbers,
    strata: Sequence[str],
    rng: np.random.Generator,
) -> Impostors:
    """Compare images of different persons, within each stratum.

    Args:
        embedding: float32 (n, dim), of unit length. code: uint8 (n, bits/8). persons: int64 (n,), who is shown.
        strata: n names of what is known of an image, such as its view and the age group.
    """
    found: dict[str, Floats] = {}
    gallery = Strangers.of(embedding, persons)
    names = np.array(strata)
    for name in dict.fromkeys(strata):
        rows = np.flatnonzero(names == name)
        if len(rows) > MOST_COMPARED:
            rows = np.sort(rng.choice(rows, MOST_COMPARED, replace=False))
        rarities = [np.empty(0)]
        for place, row in enumerate(rows.tolist()):
            others = rows[place + 1 :]
            others = others[persons[others] != persons[row]]
            if len(others):
                compared = comparer.compare(
                    embedding[row],
                    code[row],
                    embedding[others],
                    code[others],
                    gallery,
                    int(persons[row]),
                    persons[others],
                )
                rarities.append(compared.rarity)
        found[name] = np.sort(np.concatenate(rarities))
    everywhere = np.sort(np.concatenate([np.empty(0), *found.values()]))
    return Impostors(found, everywhere, comparer.calibration)


def enlarged(evidence: Evidence, strangers: Floats, gallery: int, keep: int) -> Evidence:
    """The same comparisons in a larger gallery, of which the search returns the `keep` persons most alike.

    Args:
        strangers: log likelihood ratios float64 (k,) of the best strangers, see `Impostors.best_of`.
        gallery: persons in it besides the label, one image each: many images of one stranger would only be milder.
    """
    new = tuple(Person(_FIRST_STRANGER + i, strangers[i : i + 1]) for i in range(len(strangers)))
    ranked = sorted(evidence.others + new, key=lambda person: -person.log_ratio)
    return dataclasses.replace(
        evidence, others=tuple(ranked[:keep]), other_persons=max(gallery, evidence.other_persons)
    )
