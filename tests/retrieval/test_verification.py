from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from retrieval.errors import WeightsNotUsable
from retrieval.networks.verification import VerificationHead
from retrieval.verification import PREFIX, Verifier, read_verifier

DIM = 16


def embeddings(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, DIM, generator=generator), dim=1)


def stored(head: VerificationHead, folder: Path) -> Path:
    path = folder / "head.safetensors"
    save_file({PREFIX + name: value for name, value in head.state_dict().items()} | {"gate.x": torch.zeros(1)}, path)
    return path


def test_logit_is_the_paper_s_formula() -> None:
    """By hand: 2·(0.5·|0.6 − 1| + 0.25·|0.8 − 0|) − 1 with the scale √4 = 2 for embeddings of length 4."""
    verifier = Verifier(4, ((np.array([[0.5, 0.25, 0, 0]], np.float32), np.array([-1.0], np.float32)),))
    first = np.array([0.6, 0.8, 0, 0], np.float32)
    second = np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0]], np.float32)
    assert verifier.logits(first, second) == pytest.approx([2 * (0.5 * 0.4 + 0.25 * 0.8) - 1, -1.0])


@pytest.mark.parametrize(("hidden", "product"), [(0, False), (0, True), (8, False), (8, True)])
def test_arrays_say_what_the_trained_head_says(tmp_path: Path, hidden: int, product: bool) -> None:
    head = VerificationHead(DIM, hidden, product)
    verifier = read_verifier(stored(head, tmp_path), DIM)
    assert verifier is not None
    first, second = embeddings(9, 1), embeddings(9, 2)
    with torch.no_grad():
        expected = head(first, second).numpy()
    assert verifier.logits(first.numpy(), second.numpy()) == pytest.approx(expected, abs=1e-5)
    assert verifier.logits(second.numpy(), first.numpy()) == pytest.approx(expected, abs=1e-5)
    one = verifier.logits(first[0].numpy(), second.numpy())
    assert one[0] == pytest.approx(expected[0], abs=1e-5) and one.shape == (9,)


def test_weights_without_a_head_have_none(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file({"gate.x": torch.zeros(1)}, path)
    assert read_verifier(path, DIM) is None


def test_head_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotUsable, match="length 12"):
        read_verifier(stored(VerificationHead(DIM), tmp_path), 12)


def test_incomplete_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_file({PREFIX + "layers.0.weight": torch.zeros(1, DIM)}, path)
    with pytest.raises(WeightsNotUsable, match="bias"):
        read_verifier(path, DIM)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(WeightsNotUsable, match="cannot be read"):
        read_verifier(path, DIM)
