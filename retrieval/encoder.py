"""From prepared images to what is stored and compared: embedding, hash code, attention map and gate reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retrieval.codes import pack
from retrieval.errors import DeviceFailed, ImageNotUsable
from retrieval.gate import GateReading, chest_logit
from retrieval.memory import keep_freed_memory
from retrieval.networks.input import network_input
from retrieval.preprocess import PREPARED_SIZE
from retrieval.runtime import BATCH, Forward, computes_bfloat16, is_device_failure, place_of
from retrieval.upright import RIGHTINGS, Righting
from retrieval.weights import DEFAULT_NAME, Loaded, load_weights


@dataclass(frozen=True)
class Encodings:
    """What n images were encoded to.

    Attributes:
        embedding: float32 (n, dim), L2-normalised. code: uint8 (n, bits/8), see `retrieval.codes`.
        attention: float32 (n, h, w) in [0, 1], 1 where the person is read most, see `Recogniser`.
        gate: whether each image may be matched at all.
        righting: what was done to each image before all of this, None for those that are seen as they were given.
    """

    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    attention: npt.NDArray[np.float32]
    gate: GateReading
    righting: tuple[Righting | None, ...]

    def __post_init__(self) -> None:
        n = len(self.embedding)
        if not n == len(self.code) == len(self.attention) == len(self.gate.suitable) == len(self.righting):
            raise ImageNotUsable("The parts of an encoding are of different length.")

    @classmethod
    def joined(cls, parts: Sequence[Encodings]) -> Encodings:
        """One after the other, of at least one part."""
        return cls(
            np.concatenate([part.embedding for part in parts]),
            np.concatenate([part.code for part in parts]),
            np.concatenate([part.attention for part in parts]),
            GateReading(
                np.concatenate([part.gate.suitable for part in parts]),
                tuple(reason for part in parts for reason in part.gate.reason),
            ),
            tuple(righting for part in parts for righting in part.righting),
        )

    def chosen(self, positions: Sequence[int]) -> Encodings:
        """Only the images at these positions, in this order."""
        at = list(positions)
        gate = GateReading(self.gate.suitable[at], tuple(self.gate.reason[i] for i in at))
        righting = tuple(self.righting[i] for i in at)
        return Encodings(self.embedding[at], self.code[at], self.attention[at], gate, righting)


class Encoder:
    """A loaded network, ready to encode; build it with `Encoder.load`.

    Attributes:
        model_id: of the weights. precision: in which it computes, `bf16` or `fp32`.
        dim: length of the embedding. bits: length of the code.
    """

    def __init__(self, loaded: Loaded, device: torch.device, half: bool) -> None:
        self._forward = Forward(loaded.network, device, half, PREPARED_SIZE)
        self._gate = loaded.gate
        self._device = device
        self.model_id = loaded.model_id
        self.precision = "bf16" if half else "fp32"
        self.dim = loaded.network.dim
        self.bits = loaded.card.bits

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_NAME,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> Encoder:
        """Load a shipped network by name, or one of your own by path.

        On a CPU, the process keeps the memory that it frees from now on, see `keep_freed_memory`.

        Args:
            name_or_path: see `retrieval.weights.find_weights`.
            device: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ...
            precision: `auto` (bfloat16 where the processor computes in it), `bf16` or `fp32`.
            threads: CPU threads of this process's torch; left alone if None.

        Raises:
            WeightsNotUsable: no such weights, or a broken file.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        place = place_of(device)
        if place.type == "cpu":
            keep_freed_memory()
        half = computes_bfloat16(place) if precision == "auto" else precision == "bf16"
        return cls(load_weights(name_or_path), place, half)

    def encode(self, images: npt.NDArray[np.uint8]) -> Encodings:
        """Encode prepared images, sixteen in a forward pass.

        An image that the gate keeps back is looked at turned and inverted, too, in seven ways, but for one that shows
        nothing. If the gate takes it for a frontal chest then, it is taken to have been stored that way, and is encoded
        as it should have been stored.

        Args:
            images: uint8 (n, 320, 320) from `retrieval.preprocess.prepare`, n ≥ 1.

        Raises:
            ImageNotUsable: another shape or type.
            DeviceFailed: the GPU broke down; end this process and start another.
        """
        found, _ = self._as_given(images)
        kept_back = np.flatnonzero(~found.gate.suitable).tolist()
        asked = [i for i in kept_back if self._gate.shows_enough(images[i])]
        if not asked:
            return found
        tried, chest = self._as_given(np.stack([righting.of(images[i]) for i in asked for righting in RIGHTINGS]))
        best = np.where(tried.gate.suitable, chest, -np.inf).reshape(-1, len(RIGHTINGS)).argmax(axis=1)
        places, parts = list(range(len(images))), [found]
        for number, (i, which) in enumerate(zip(asked, best.tolist(), strict=True)):
            one = tried.chosen([number * len(RIGHTINGS) + which])
            if one.gate.suitable[0]:
                righting = RIGHTINGS[which]
                places[i] = len(images) + len(parts) - 1
                parts.append(replace(one, attention=righting.undone(one.attention[0])[None], righting=(righting,)))
        return Encodings.joined(parts).chosen(places)

    def as_given(self, images: npt.NDArray[np.uint8]) -> Encodings:
        """The same without putting any image right."""
        return self._as_given(images)[0]

    def _as_given(self, images: npt.NDArray[np.uint8]) -> tuple[Encodings, npt.NDArray[np.float64]]:
        """Encode images as they are; also how surely each is a frontal chest, a logit float64 (n,)."""
        if images.dtype != np.uint8 or images.shape[1:] != (PREPARED_SIZE, PREPARED_SIZE) or not len(images):
            raise ImageNotUsable(
                f"Prepared images must be uint8 (n, {PREPARED_SIZE}, {PREPARED_SIZE}), "
                f"not {images.dtype} {images.shape}."
            )
        parts = [self._encode(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        embedding, code, attention, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        gate = self._gate.read(images, scores)
        return Encodings(embedding, code, attention, gate, (None,) * len(images)), chest_logit(scores[:, :-1])

    def _encode(
        self, images: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        with torch.inference_mode(), _device_watched():
            batch = network_input(torch.from_numpy(images.copy()).to(self._device), PREPARED_SIZE)
            outputs = self._forward(batch)
            scores = self._gate.scores(outputs, batch)
            embedding = outputs.embedding.cpu().numpy()
            attention = outputs.attention.float().abs().cpu().numpy()
            return embedding, pack(outputs.code.cpu().numpy()), attention, scores


@contextmanager
def _device_watched() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if is_device_failure(error):
            raise DeviceFailed(
                f"The GPU failed ({type(error).__name__}); start again, or choose the device cpu."
            ) from error
        raise
