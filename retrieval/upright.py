"""Images that were stored turned or inverted: what puts them right, so that their person is recognised all the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

_TURNS = ("", "turned by 90° to the left", "turned by 180°", "turned by 90° to the right")


@dataclass(frozen=True)
class Righting:
    """What is done to an image as it is stored to make it a chest that stands upright, lungs dark.

    Attributes:
        quarter_turns: to the left, 0 to 3. inverted: black and white are exchanged.
    """

    quarter_turns: int
    inverted: bool

    def of(self, image: Pixels) -> Pixels:
        """An image uint8 (h, w), put right: (h, w), or (w, h) after a quarter turn."""
        turned = np.rot90(image, self.quarter_turns)
        return np.ascontiguousarray(255 - turned if self.inverted else turned)

    def undone(self, seen: Map) -> Map:
        """A map float32 (h, h) of the image that was put right, as it lies on the image that is stored."""
        return np.ascontiguousarray(np.rot90(seen, -self.quarter_turns))

    @classmethod
    def read(cls, words: str) -> Righting | None:
        """What `str` said; None for no words, or for others."""
        return next((one for one in RIGHTINGS if str(one) == words), None)

    def __str__(self) -> str:
        """In words, after "was": `turned by 180°`, `turned by 90° to the left and inverted`, `inverted`."""
        return " and ".join(word for word in (_TURNS[self.quarter_turns], "inverted" * self.inverted) if word)


def put_right(image: Pixels, words: str) -> Pixels:
    """An image uint8 (h, w) after what `str` of a `Righting` said; as it is for no words."""
    righting = Righting.read(words)
    return image if righting is None else righting.of(image)


RIGHTINGS = tuple(
    Righting(turns, inverted) for inverted in (False, True) for turns in range(len(_TURNS)) if turns or inverted
)
"""All that can be done to an image, but for mirroring: organs on the other side are no fault of the image."""
