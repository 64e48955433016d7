"""What every method can do: turn images into something comparable, and compare it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from retrieval.bench.extras import Extra
from retrieval.evaluation.cohort import Cohort

Images = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float32]
Represented = TypeVar("Represented")


@dataclass(frozen=True)
class About:
    """What the tables say of a method.

    Attributes:
        key: one word for the command line.
        name: for the tables.
        source: paper and section.
        learned: what it knows beforehand, for example `nothing` or `ImageNet`.
    """

    key: str
    name: str
    source: str
    learned: str = "nothing"


class ImageMethod(ABC, Generic[Represented]):
    """A way to say how alike two images are.

    Attributes:
        about: see `About`.
        finished: whether it learned as long as it was to; if not, time was up.
    """

    about: About
    finished: bool = True

    @abstractmethod
    def represent(self, images: Images) -> Represented:
        """Represent prepared images uint8 (n, h, w), n ≥ 1, each by itself."""

    @abstractmethod
    def similarity(self, first: Represented, second: Represented) -> Matrix:
        """Compare each of n represented images with each of m: float32 (n, m), higher is more alike."""

    @abstractmethod
    def chosen(self, represented: Represented, positions: list[int]) -> Represented:
        """Only the images at these positions, in this order."""

    @abstractmethod
    def nbytes(self, represented: Represented) -> int:
        """What is kept of these images in all, in bytes."""

    def extras(self, represented: Represented, cohorts: Sequence[Cohort]) -> list[Extra]:
        """Tables that only this method's paper has."""
        return []


class ArrayMethod(ImageMethod[npt.NDArray[Any]]):
    """A method that represents n images as one array, a row for each."""

    def nbytes(self, represented: npt.NDArray[Any]) -> int:
        """Size of the array."""
        return represented.nbytes

    def chosen(self, represented: npt.NDArray[Any], positions: list[int]) -> npt.NDArray[Any]:
        """Rows at these positions."""
        return represented[positions]
