"""The training loop: one step after another, checkpointed, resumable, validated, with learning curves on disk."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from retrieval.data.parallel import parallel_map
from retrieval.data.prefetch import prefetched
from retrieval.errors import ConfigInvalid, TrainingDiverged
from retrieval.losses import BatchPairs
from retrieval.memory import keep_freed_memory
from retrieval.networks import AttentionHashNetwork
from retrieval.training.build import embed
from retrieval.training.checkpoint import load_weights_of, resume_checkpoint, save_checkpoint
from retrieval.training.config import Kept, Precision, TrainingConfig
from retrieval.training.curve import Costs, LearningCurve
from retrieval.training.device import find_device
from retrieval.training.material import Batch, Material
from retrieval.training.objective import Objective, Parts
from retrieval.training.optimise import make_optimiser, set_rate
from retrieval.training.rivals import load_rivals, save_rivals
from retrieval.training.validation import Validator

_AHEAD = 3


class Trainer:
    """Trains a network in `folder`; an existing checkpoint is resumed.

    The folder gets `checkpoint.safetensors`, `best.safetensors` (the averaged weights that validated best),
    `curve.csv`, `validation.csv`, `curve.png` and, with hard negatives, `rivals-<round>.json`.

    Args:
        config: the run.
        network: freshly built, with its starting weights.
        material: source of batches.
        folder: of this run; made if absent.
        start: a checkpoint or weight file whose weights this run starts from, unless it already has its own.
        validator: measures the averaged weights every `config.validate_every` steps and at the end; never if None.
        joint: another loss of the hash code, see `Objective`.
        checkpoints: write them; without, a run that is stopped begins anew, and hundreds of megabytes stay unwritten.

    Raises:
        CheckpointInvalid: a checkpoint is of another network or loss.
        ConfigInvalid: hard_negatives without `start`, or the device is not there.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: AttentionHashNetwork,
        material: Material,
        folder: Path,
        start: Path | None = None,
        validator: Validator | None = None,
        joint: nn.Module | None = None,
        checkpoints: bool = True,
    ) -> None:
        torch.set_num_threads(config.threads)
        keep_freed_memory()
        folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.device = find_device(config.device)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        update = get_ema_multi_avg_fn(config.average)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._average = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        self._material = material
        self._validator = validator
        self._checkpoints = checkpoints
        self.folder = folder
        self.checkpoint = folder / "checkpoint.safetensors"
        self.best = folder / "best.safetensors"
        torch.manual_seed(config.seed)
        self.objective = Objective(config.losses, config.network, material.patients, joint).to(self.device)
        self._optimiser = make_optimiser(config, self.network, self.objective)
        self.step = self._resume(start)
        self.curve = LearningCurve(folder, self.step)

    @property
    def averaged(self) -> AttentionHashNetwork:
        """The moving average of the network: what is evaluated and exported."""
        return cast(AttentionHashNetwork, self._average.module)

    @property
    def exported(self) -> Path:
        """The checkpoint whose averaged weights are exported, as the configuration says."""
        return self.best if self.config.export is Kept.BEST else self.checkpoint

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.steps

    def run(self, steps: int | None = None) -> Generator[Costs]:
        """Train until the configured end, or `steps` more; yields the costs of every step.

        Close the iterator to stop early, and `save` what was done.

        Raises:
            TrainingDiverged: the loss or its gradient is not finite.
        """
        end = self.config.steps if steps is None else min(self.config.steps, self.step + steps)
        while self.step < end:
            self._enter_round()
            later = [start for start in self._round_starts() if start > self.step]
            yield from self._train(min([end, *later]))

    def save(self) -> None:
        """Write the learning curves and the checkpoint; a crash leaves the previous one."""
        self.curve.write()
        save_checkpoint(
            self.checkpoint, self.step, self.network, self._average, self.objective, optimiser=self._optimiser
        )

    def _resume(self, start: Path | None) -> int:
        if self.checkpoint.exists():
            return resume_checkpoint(self.checkpoint, self.network, self._average, self.objective, self._optimiser)
        if start is not None:
            load_weights_of(start, self.network, self._average)
        elif self.config.hard_negatives:
            raise ConfigInvalid(
                "hard_negatives needs the checkpoint of an earlier run to start from: give it as start."
            )
        return 0

    def _train(self, end: int) -> Iterator[Costs]:
        with closing(self._feed(range(self.step, end))) as feed:
            began = time.monotonic()
            for images, batch in feed:
                self.network.train()
                parts, rate = self._learn(images, batch)
                self.step += 1
                costs = Costs(
                    step=self.step,
                    total=parts.total.item(),
                    identity=parts.identity.item(),
                    joint=parts.joint.item(),
                    code=parts.code.item(),
                    rate=rate,
                    seconds=time.monotonic() - began,
                )
                self.curve.costs.append(costs)
                self._after_step(last=self.step == end)
                yield costs
                began = time.monotonic()

    def _feed(self, steps: range) -> Generator[tuple[Tensor, Batch]]:
        """Batches of steps, made ready ahead: beside a GPU by all processors, else by one thread."""
        if self.device.type == "cuda":
            return parallel_map(self._prepared, steps)
        return prefetched(map(self._prepared, steps), _AHEAD)

    def _prepared(self, step: int) -> tuple[Tensor, Batch]:
        """The batch of a step and its augmented images; the same step always gives the same."""
        batch = self._material.draw(step)
        generator = torch.Generator().manual_seed(self._seed_of(step))
        return self.config.augmentation.apply(batch.images, self.config.size, generator), batch

    def _learn(self, images: Tensor, batch: Batch) -> tuple[Parts, float]:
        rate = set_rate(self._optimiser, self.config, self.step)
        # Layers that drop at random draw from here; seeded by the step, so that a resumed run draws the same.
        torch.manual_seed(self._seed_of(self.step))
        images = images.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision is Precision.BF16):
            outputs = self.network(images)
        parts: Parts = self.objective(outputs, _moved(batch, self.device))
        self._optimiser.zero_grad(set_to_none=True)
        self._check(parts.total, "loss")
        parts.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        trained = [*self.network.parameters(), *self.objective.parameters()]
        self._check(nn.utils.clip_grad_norm_(trained, self.config.clip), "gradient")
        self._optimiser.step()
        self._average.update_parameters(self.network)
        return parts, rate

    def _after_step(self, last: bool) -> None:
        every = self.config.validate_every
        at_end = self.finished
        validated = self._validator is not None and every > 0 and (self.step % every == 0 or at_end)
        if validated:
            self._validate()
        if self._checkpoints and (validated or last or self.step % self.config.save_every == 0):
            self.save()

    def _validate(self) -> None:
        assert self._validator is not None
        before = self.curve.best_auc
        self.curve.validations += self._validator.measure(self.averaged.eval(), self.objective.identity, self.step)
        if self.curve.best_auc > before:
            save_checkpoint(self.best, self.step, self.network, self._average, self.objective, optimiser=None)

    def _round_starts(self) -> list[int]:
        """The step that each round of hard negatives begins with, the round from the start's weights at 0."""
        count = self.config.rounds + 1
        return [self.config.steps * number // count for number in range(count)]

    def _enter_round(self) -> None:
        starts = self._round_starts()
        number = max(n for n, start in enumerate(starts) if start <= self.step)
        if number == 0 and not self.config.hard_negatives:
            return
        path = self.folder / f"rivals-{number}.json"
        if self.step > starts[number]:
            self._material.use_rivals(load_rivals(path))
            return
        # At the first step of a round, with exactly the weights of the checkpoint: a run killed here finds the same.
        half = self.config.precision is Precision.BF16
        embedding = embed(self.averaged.eval(), self._material.images, self.config.size, half)
        save_rivals(path, self._material.seek_rivals(embedding, self.config.rivals))

    def _check(self, value: Tensor, name: str) -> None:
        if not bool(torch.isfinite(value)):
            raise TrainingDiverged(
                f"The {name} at step {self.step + 1} is {value.item()}: training has diverged. Lower rate, lengthen "
                f'warmup or set precision = "fp32", and start again in a new folder; {self.folder} keeps the last '
                "checkpoint before it."
            )

    def _seed_of(self, step: int) -> int:
        return self.config.seed * 1_000_003 + step


def _moved(batch: Batch, device: torch.device) -> Batch:
    pairs: BatchPairs | None = None if batch.pairs is None else batch.pairs.to(device)
    return Batch(batch.images, batch.patients.to(device), batch.findings.to(device), pairs)
