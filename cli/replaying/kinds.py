"""The kinds of errors that a replay plants and reports on."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """What is wrong with an image, from the point of view of the patient it is filed under."""

    WITH_PRIORS = "filed under a patient with priors"
    ALIKE = "filed under a patient with priors, of the same sex and age group"
    WITHOUT_PRIORS = "filed under a patient without priors"
    SECOND_RECORD = "filed under a second record of the person"
    RESENT = "the same pixels again"

    @property
    def is_swap(self) -> bool:
        """Whether the image carries another person's name."""
        return self in (ErrorKind.WITH_PRIORS, ErrorKind.ALIKE, ErrorKind.WITHOUT_PRIORS)

    @property
    def has_priors(self) -> bool:
        """Whether it is a swap that disagrees with earlier images under its label."""
        return self in (ErrorKind.WITH_PRIORS, ErrorKind.ALIKE)
