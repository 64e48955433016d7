"""The gate before matching: is this a frontal chest image, and does it carry enough to be compared?"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from retrieval.errors import ImageNotUsable
from retrieval.networks import Outputs


class Seen(enum.IntEnum):
    """What the gate tells apart; the number is the row in its weights.

    A mirrored frontal chest counts as a frontal chest: organs that lie on the other side (situs inversus) look the
    same, and the image of another, mirrored person disagrees with the priors anyway.
    """

    CHEST = 0
    LATERAL = 1
    TURNED = 2
    INVERTED = 3
    PARTIAL = 4
    POOR = 5
    OTHER = 6


NOT_FRONTAL = "not a frontal chest image"
UNINFORMATIVE = "too little information"

REASONS = {
    Seen.LATERAL: "a lateral view, not a frontal chest image",
    Seen.TURNED: "looks rotated by a quarter or half turn",
    Seen.INVERTED: "looks inverted, black and white exchanged",
    Seen.PARTIAL: "shows only a part of the chest",
    Seen.POOR: UNINFORMATIVE,
}
"""What people are told where the gate is sure which kind of wrong image it sees; `NOT_FRONTAL` otherwise."""

_SURE = 0.6
_GRID = 3
_THUMBNAIL = 12


@dataclass(frozen=True)
class GateReading:
    """Verdict on n images: suitable bool (n,); a reason for each that is not, None for each that is."""

    suitable: npt.NDArray[np.bool_]
    reason: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if [reason is None for reason in self.reason] != self.suitable.tolist():
            raise ImageNotUsable("A gate reading needs a reason for exactly those images that are not suitable.")


@dataclass(frozen=True)
class Gate:
    """A linear classifier against known kinds of wrong images and a distance from usual chests against unknown ones.

    Both look at the same features of the forward pass that encodes the image: shallow maps on a coarse grid (what is
    where), deep maps averaged (what there is), and a thumbnail.

    Attributes:
        centre, scale: float32 (f,), standardise the features.
        limit: float32 (), the classifier sees features cut to this many deviations, so none decides alone.
        weight: float32 (k, f), bias: float32 (k,): logits of the k kinds of `Seen`.
        directions: float32 (d, f): whitened principal directions of frontal chests.
        least_logit, most_distance, least_detail: float32 (): what a frontal chest must reach.
    """

    centre: Tensor
    scale: Tensor
    limit: Tensor
    weight: Tensor
    bias: Tensor
    directions: Tensor
    least_logit: Tensor
    most_distance: Tensor
    least_detail: Tensor

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Gate:
        """Restore a gate from `tensors()`; raises KeyError if one is missing, RuntimeError if one does not fit."""
        found = {name: tensors[name].float() for name in cls.__dataclass_fields__}
        if len(found["weight"]) != len(Seen) or len(found["bias"]) != len(Seen):
            raise RuntimeError(f"the gate knows {len(found['weight'])} kinds of images instead of {len(Seen)}")
        return cls(**found)

    def tensors(self) -> dict[str, Tensor]:
        """What is stored in a weight file, by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def scores(self, outputs: Outputs, images: Tensor) -> npt.NDArray[np.float32]:
        """Logits of the kinds of `Seen` and, last, the distance from usual chests: float32 (n, k + 1).

        Args:
            outputs: of the network. images: float (n, 1, h, w), what the network was given.
        """
        features = (gate_features(outputs, images).cpu() - self.centre) / self.scale
        logits = features.clamp(-self.limit, self.limit) @ self.weight.T + self.bias
        distance = (features @ self.directions.T).square().mean(dim=1, keepdim=True).sqrt()
        return torch.cat([logits, distance], dim=1).numpy()

    def read(self, images: npt.NDArray[np.uint8], scores: npt.NDArray[np.float32]) -> GateReading:
        """Judge images from their scores.

        Args:
            images: uint8 (n, h, w), prepared. scores: float32 (n, k + 1) from `scores`.
        """
        reasons = tuple(self._reason(image, score) for image, score in zip(images, scores, strict=True))
        return GateReading(np.array([reason is None for reason in reasons], dtype=np.bool_), reasons)

    def shows_enough(self, image: npt.NDArray[np.uint8]) -> bool:
        """Whether an image uint8 (h, w) shows anything that could be a chest, however it is turned."""
        return detail(image) >= float(self.least_detail)

    def _reason(self, image: npt.NDArray[np.uint8], scores: npt.NDArray[np.float32]) -> str | None:
        logits, distance = scores[:-1].astype(np.float64), float(scores[-1])
        if not self.shows_enough(image):
            return UNINFORMATIVE
        if chest_logit(logits) < float(self.least_logit):
            wrong = np.exp(logits[1:] - logits[1:].max())
            kind = Seen(1 + int(wrong.argmax()))
            return REASONS.get(kind, NOT_FRONTAL) if wrong.max() >= _SURE * wrong.sum() else NOT_FRONTAL
        return NOT_FRONTAL if distance > float(self.most_distance) else None


def chest_logit(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Logit (...) of "a frontal chest" against all other kinds together, of logits (..., k) in the order of `Seen`."""
    return np.asarray(logits[..., 0] - np.logaddexp.reduce(logits[..., 1:].astype(np.float64), axis=-1))


def gate_features(outputs: Outputs, images: Tensor) -> Tensor:
    """Features the gate looks at: float32 (n, f), f = 9·shallow channels + deep channels + 144."""
    shallow = functional.adaptive_avg_pool2d(outputs.shallow.float(), _GRID).flatten(1)
    deep = outputs.deep.float().mean(dim=(2, 3))
    thumbnail = functional.adaptive_avg_pool2d(images.float(), _THUMBNAIL).flatten(1)
    return torch.cat([shallow, deep, thumbnail], dim=1)


def detail(image: npt.NDArray[np.uint8]) -> float:
    """Contrast of ribs and vessels: standard deviation, in grey levels, of structures 1/64 to 1/8 of the side wide.

    Args:
        image: uint8 (h, w), prepared.
    """
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    coarse = cv2.GaussianBlur(small, (0, 0), 4.0)
    return float(np.std(small - coarse))
