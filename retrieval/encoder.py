"""From prepared images to what is stored and compared: embedding, hash code, attention map and gate reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retrieval.codes import pack
from retrieval.errors import DeviceFailed, ImageNotUsable
from retrieval.gate import GateReading
from retrieval.memory import keep_freed_memory
from retrieval.networks.input import network_input
from retrieval.preprocess import PREPARED_SIZE
from retrieval.runtime import BATCH, Forward, computes_bfloat16, is_device_failure, place_of
from retrieval.weights import DEFAULT_NAME, Loaded, load_weights


@dataclass(frozen=True)
class Encodings:
    """What n images were encoded to.

    Attributes:
        embedding: float32 (n, dim), L2-normalised. code: uint8 (n, bits/8), see `retrieval.codes`.
        attention: float32 (n, h, w) in [0, 1], 1 where the person is read most, see `Recogniser`.
        gate: whether each image may be matched at all.
    """

    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    attention: npt.NDArray[np.float32]
    gate: GateReading

    def __post_init__(self) -> None:
        n = len(self.embedding)
        if not n == len(self.code) == len(self.attention) == len(self.gate.suitable):
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
        )

    def chosen(self, positions: Sequence[int]) -> Encodings:
        """Only the images at these positions, in this order."""
        at = list(positions)
        gate = GateReading(self.gate.suitable[at], tuple(self.gate.reason[i] for i in at))
        return Encodings(self.embedding[at], self.code[at], self.attention[at], gate)


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
        """Encode prepared images in one forward pass each, sixteen at a time.

        Args:
            images: uint8 (n, 320, 320) from `retrieval.preprocess.prepare`, n ≥ 1.

        Raises:
            ImageNotUsable: another shape or type.
            DeviceFailed: the GPU broke down; end this process and start another.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (PREPARED_SIZE, PREPARED_SIZE) or not len(images):
            raise ImageNotUsable(
                f"Prepared images must be uint8 (n, {PREPARED_SIZE}, {PREPARED_SIZE}), "
                f"not {images.dtype} {images.shape}."
            )
        parts = [self._encode(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        embedding, code, attention, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Encodings(embedding, code, attention, self._gate.read(images, scores))

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
