"""Cross-batch memory whose queue can be stored in a checkpoint, so that a resumed run remembers the same images."""

from __future__ import annotations

import torch
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn


class Memory(CrossBatchMemory):  # type: ignore[misc]  # the library has no types
    """Compare a batch with the embeddings of the last `size` images, not with itself alone.

    Args:
        loss: of pairs or triplets of embeddings, from pytorch-metric-learning.
        dim: length of an embedding.
        size: how many images are remembered; at least those of a batch.
        miner: chooses among the pairs; all if None.

    Source: Wang et al., "Cross-batch memory for embedding learning", 2020.
    """

    def __init__(self, loss: nn.Module, dim: int, size: int, miner: nn.Module | None) -> None:
        super().__init__(loss, dim, memory_size=size, miner=miner)

    def get_extra_state(self) -> Tensor:
        """Where the queue stands, int64 (2,): the next place, and whether it was full once."""
        return torch.tensor([self.queue_idx, self.has_been_filled], dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Put the queue where it stood."""
        self.queue_idx, self.has_been_filled = int(state[0]), bool(state[1])
