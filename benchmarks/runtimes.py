"""Ways to run the shipped network, and networks of the same kind as a yardstick: prepared images in, embeddings out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision import models

from retrieval.encoder import Encoder
from retrieval.networks.input import network_input
from retrieval.preprocess import PREPARED_SIZE
from retrieval.runtime import Forward
from retrieval.weights import Loaded, load_weights

Images = npt.NDArray[np.uint8]
Embed = Callable[[Images], npt.NDArray[np.float32]]
"""Prepared images uint8 (n, h, w) to embeddings float32 (n, d)."""

_EXAMPLES = 2


class EmbeddingOnly(nn.Module):
    """The network with its embedding and code as only outputs, so that an exported graph keeps both heads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (n, d) and code (n, bits) of images (n, 1, s, s)."""
        outputs = self.network(images)
        return outputs.embedding, outputs.code


def shipped(weights: str, precision: str, device: str = "cpu") -> Embed:
    """The encoder of this product, gate and codes included."""
    encoder = Encoder.load(weights, device, precision)
    return lambda images: encoder.as_given(images).embedding


def unfolded(weights: str) -> Embed:
    """The network as it is trained: normalisation not folded, bfloat16, channels last."""
    loaded = load_weights(weights)
    return _torch(loaded.network.to(memory_format=torch.channels_last), half=True)


def compiled(weights: str) -> Embed:
    """torch.compile with constants folded, bfloat16; compiles for a minute or more at the first batch of each size."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    loaded = load_weights(weights)
    network = torch.compile(loaded.network.to(memory_format=torch.channels_last))
    return _torch(network, half=True)


def plain_cuda(weights: str) -> Embed:
    """The same folded network on CUDA without a recorded graph."""
    loaded = load_weights(weights)
    place = torch.device("cuda")
    forward = Forward(loaded.network, place, True, PREPARED_SIZE)

    def embed(images: Images) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            batch = network_input(torch.from_numpy(images).to(place), PREPARED_SIZE)
            return np.asarray(forward.plain(batch).embedding.float().cpu().numpy())

    return embed


def onnx_runtime(file: Path, threads: int) -> Embed:
    """ONNX Runtime on the CPU, float32 (its CPU kernels know no bfloat16 convolution)."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: _input(images)})[0])


def openvino(file: Path, threads: int, precision: str) -> Embed:
    """OpenVINO on the CPU; `precision` is f32 or bf16."""
    import openvino as ov  # type: ignore[import-untyped]

    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(str(file), "CPU", options)
    return lambda images: np.asarray(model(_input(images))[0])


def yardstick(name: str, size: int, half: bool) -> Embed:
    """A torchvision classifier without weights, its logits for embeddings: only its speed means something."""
    network = models.get_model(name, weights=None).eval().to(memory_format=torch.channels_last)

    def embed(images: Images) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            batch = network_input(torch.from_numpy(images), size).expand(-1, 3, -1, -1)
            return np.asarray(network(batch.contiguous(memory_format=torch.channels_last)).float().numpy())

    return embed


def export_onnx(loaded: Loaded, file: Path) -> Path:
    """Write the network as an ONNX graph with a batch of any size."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            EmbeddingOnly(loaded.network).eval(),
            (torch.rand(_EXAMPLES, 1, PREPARED_SIZE, PREPARED_SIZE),),
            str(file),
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("n")},),
        )
    return file


def _torch(network: Callable[[Tensor], object], half: bool) -> Embed:
    def embed(images: Images) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = network(network_input(torch.from_numpy(images), PREPARED_SIZE))
            return np.asarray(outputs.embedding.float().numpy())  # type: ignore[attr-defined]

    return embed


def _input(images: Images) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(network_input(torch.from_numpy(images), PREPARED_SIZE).numpy())
