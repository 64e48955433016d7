"""The training loop: one step after another, checkpointed, resumable, with a learning curve on disk."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from retrieval.losses import IdentityLoss, JointHashLoss
from retrieval.networks import AttentionHashNetwork, Outputs
from retrieval.training.checkpoint import load_checkpoint, save_checkpoint
from retrieval.training.config import TrainingConfig
from retrieval.training.material import Batch, Material


@dataclass(frozen=True)
class Costs:
    """The losses of one step, and the rate and seconds it took."""

    step: int
    total: float
    identity: float
    joint: float
    code: float
    rate: float
    seconds: float


class Trainer:
    """Trains a network in `folder` (checkpoint.safetensors, curve.csv); an existing checkpoint is resumed.

    Args:
        config: the run.
        network: freshly built, with its starting weights.
        material: source of batches.
        folder: of this run; made if absent.
        start: a checkpoint whose weights this run starts from (not its optimiser), unless it already has its own.

    Raises:
        CheckpointInvalid: a checkpoint is of another network.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: AttentionHashNetwork,
        material: Material,
        folder: Path,
        start: Path | None = None,
    ) -> None:
        torch.set_num_threads(config.threads)
        folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.network = network.to(memory_format=torch.channels_last)
        update = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._average = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        self._material = material
        self.checkpoint = folder / "checkpoint.safetensors"
        self._curve = folder / "curve.csv"
        self._optimiser = torch.optim.AdamW(self.network.parameters(), lr=config.rate, weight_decay=config.decay)
        self._identity = IdentityLoss(config.losses.temperature)
        self._joint = JointHashLoss(config.losses.alpha, config.losses.beta)
        self.step = 0
        if self.checkpoint.exists():
            self.step = load_checkpoint(self.checkpoint, self.network, self._average, self._optimiser)
        elif start is not None:
            load_checkpoint(start, self.network, self._average, None)

    @property
    def averaged(self) -> nn.Module:
        """The moving average of the network: what is evaluated and exported."""
        return self._average.module

    def run(self, steps: int | None = None) -> Iterator[Costs]:
        """Train until the configured end, or `steps` more; yields the costs of every step."""
        self.network.train()
        end = self.config.steps if steps is None else min(self.config.steps, self.step + steps)
        while self.step < end:
            began = time.monotonic()
            rate = self._set_rate()
            batch = self._material.draw(self.step)
            total, identity, joint, code = self._costs(batch)
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self._optimiser.step()
            self._average.update_parameters(self.network)
            self.step += 1
            if self.step % self.config.save_every == 0 or self.step == end:
                self.save()
            yield Costs(
                step=self.step,
                total=total.item(),
                identity=identity.item(),
                joint=joint.item(),
                code=code.item(),
                rate=rate,
                seconds=time.monotonic() - began,
            )

    def run_with_progress(self) -> None:
        """Train to the end with a progress bar, appending to the learning curve."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        fresh = not self._curve.exists()
        with Progress(*columns, TimeRemainingColumn()) as bar, self._curve.open("a", newline="") as stream:
            task = bar.add_task("training", total=self.config.steps, completed=self.step)
            writer = csv.writer(stream)
            if fresh:
                writer.writerow(Costs.__annotations__)
            for costs in self.run():
                writer.writerow([format(value, ".6g") for value in vars(costs).values()])
                stream.flush()
                bar.update(task, completed=costs.step, description=f"loss {costs.total:.3f}")

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self.step, self.network, self._average, self._optimiser)

    def _costs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        images = self.config.augmentation.apply(batch.images, self.config.size, generator)
        images = images.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
            outputs: Outputs = self.network(images)
        identity = self._identity(outputs.embedding, batch.patients)
        joint = self._joint(outputs.code, outputs.findings, batch.patients, batch.findings)
        code = self._identity(torch.tanh(outputs.code.chunk(2, dim=1)[0]), batch.patients)
        weights = self.config.losses
        return identity + weights.hash_weight * joint + weights.code_weight * code, identity, joint, code

    def _set_rate(self) -> float:
        config = self.config
        if self.step < config.warmup:
            share = (self.step + 1) / config.warmup
        else:
            share = 0.5 * (1 + math.cos(math.pi * (self.step - config.warmup) / (config.steps - config.warmup)))
        rate = config.rate * max(share, 0.01)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate
