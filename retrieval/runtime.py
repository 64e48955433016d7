"""How a network runs forward on this machine: precision, normalisation folded into convolutions, CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.nn import functional

from retrieval.networks import AttentionHashNetwork, Backbone, Outputs, Recogniser, RegionalNetwork
from retrieval.networks.regional import Trunk

logger = logging.getLogger(__name__)

BATCH = 16
"""Images in one forward pass; more bring nothing on a CPU, see `benchmarks/encode.py`."""

# Made of parts that are folded one by one; what joins them cannot be traced.
_JOINED = (Recogniser, AttentionHashNetwork, Backbone, RegionalNetwork, Trunk)
_WARMING_PASSES = 3
_LEAST_COSINE = 0.99
_DEVICE_WORDS = ("CUDA", "CUBLAS", "CUDNN", "cuDNN")


def place_of(device: str) -> torch.device:
    """The device to compute on: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ..."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the processor itself computes in bfloat16; where it is emulated, float32 is faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def is_device_failure(error: RuntimeError) -> bool:
    """Whether an error of torch comes from the GPU or its libraries; such a process cannot go on computing there."""
    named = isinstance(error, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
    return named or any(word in str(error) for word in _DEVICE_WORDS)


class Forward:
    """The forward pass of one network; fits the network to this machine when it is built.

    Batch normalisation is folded into the convolutions, which changes the outputs by rounding only. On CUDA the pass
    over a full batch is recorded once as a CUDA graph and replayed. Where that fails, or its embeddings differ from
    those of the plain pass, the plain pass is used and the log says so.

    Args:
        network: in evaluation mode; it is changed in place and belongs to this object from now on.
        device: where to compute.
        half: compute in bfloat16 where that is safe (autocast), else in float32.
        size: side of the images in pixels.
    """

    def __init__(self, network: Recogniser | AttentionHashNetwork, device: torch.device, half: bool, size: int) -> None:
        fold_normalisation(network)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._device = device
        self._half = half
        self._graph = self._recorded(size) if device.type == "cuda" else None

    @property
    def recorded(self) -> bool:
        """Whether a CUDA graph is replayed."""
        return self._graph is not None

    def __call__(self, batch: Tensor) -> Outputs:
        """Compute the outputs for a batch, on its device.

        Args:
            batch: float32 (n, 1, size, size), see `retrieval.networks.input.network_input`, on the device.
        """
        if self._graph is None:
            return self.plain(batch)
        parts = [self._graph(part) for part in torch.split(batch, BATCH)]
        return parts[0] if len(parts) == 1 else Outputs(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def plain(self, batch: Tensor) -> Outputs:
        """The same without a CUDA graph."""
        # A graph replays with the addresses it recorded: autocast must not keep halved weights that it frees later.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half, cache_enabled=False):
            outputs: Outputs = self._network(batch)
        return outputs

    def _recorded(self, size: int) -> _Graph | None:
        images = torch.rand(BATCH, 1, size, size, device=self._device).contiguous(memory_format=torch.channels_last)
        try:
            with torch.inference_mode():
                graph = _Graph(self.plain, images)
                others = images.flip(3)
                agreement = functional.cosine_similarity(self.plain(others).embedding, graph(others).embedding).min()
        except RuntimeError as error:
            logger.warning("the network runs without a CUDA graph: %s", str(error).partition("\n")[0])
            return None
        if not float(agreement) >= _LEAST_COSINE:
            logger.warning("the network runs without a CUDA graph: its embeddings differ, cosine %.3f", agreement)
            return None
        return graph


class _Graph:
    """A forward pass over one full batch, recorded on CUDA; smaller batches leave the rest of the batch as it was.

    Args:
        forward: the pass. images: a full batch (n, 1, size, size); becomes the buffer that the graph reads.
    """

    def __init__(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> None:
        self._images = images.clone()
        stream = torch.cuda.Stream(images.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(images.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARMING_PASSES):
                forward(self._images)
        torch.cuda.current_stream(images.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._outputs = forward(self._images)

    def __call__(self, batch: Tensor) -> Outputs:
        """Outputs for up to a full batch, in memory of their own."""
        self._images[: len(batch)].copy_(batch)
        self._graph.replay()
        return Outputs(*(value[: len(batch)].clone() for value in self._outputs))


def fold_normalisation(network: nn.Module) -> None:
    """Fold batch normalisation into the convolution before it, in place, wherever the data flow allows it.

    Args:
        network: in evaluation mode; it can no longer be trained.
    """
    for name, part in list(network.named_children()):
        if isinstance(part, _JOINED):
            fold_normalisation(part)
        elif any(isinstance(module, nn.BatchNorm2d) for module in part.modules()):
            try:
                setattr(network, name, fuse(part))
            except TraceError as error:
                logger.info("normalisation in %s stays as it is: %s", name, error)
