"""A measured stream in a gallery of any size, simulated: more strangers, with scores drawn from those measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True, eq=False)
class Impostors:
    """What comparing two persons gives: natural-log likelihood ratios, ascending.

    Attributes:
        of_stratum: float64 (n,) for each stratum (images that could be taken for one another); see `measured`.
        everywhere: float64 (m,), those of all strata together.
    """

    of_stratum: Mapping[str, Floats]
    everywhere: Floats

    def scores(self, stratum: str) -> Floats:
        """Scores float64 (n,), ascending, of a stratum, or of all if it has too few."""
        own = self.of_stratum.get(stratum)
        return self.everywhere if own is None or len(own) < FEWEST_SCORES else own

    def best_of(self, stratum: str, strangers: int, keep: int, rng: np.random.Generator) -> Floats:
        """Draw scores of so many strangers and return the `keep` highest, float64, descending.

        The order statistics are drawn directly, so a million strangers cost no more than a hundred.

        Source: Rényi 1953, Acta Mathematica Hungarica 4:191: ordered uniforms are ratios of sums of exponentials.
        """
        scores, keep = self.scores(stratum), min(keep, strangers)
        if not len(scores) or not keep:
            return np.empty(0)
        sums = np.cumsum(rng.exponential(size=keep))
        exceeding = sums / (sums[-1] + rng.gamma(strangers + 1 - keep))
        places = np.ceil((1.0 - exceeding) * len(scores)).astype(np.int64) - 1
        drawn: Floats = scores[np.clip(places, 0, len(scores) - 1)]
        return drawn


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
        ratios = [np.empty(0)]
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
                ratios.append(compared.log_ratio)
        found[name] = np.sort(np.concatenate(ratios))
    return Impostors(found, np.sort(np.concatenate([np.empty(0), *found.values()])))


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
