"""All pairs of images of different persons that are alike enough, found in blocks by matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.errors import AuditImpossible, DeviceFailed
from retrieval.runtime import computes_bfloat16, is_device_failure, place_of

# Images in a block, and columns of one product: 64 MiB of similarities in float32.
ROWS, COLUMNS = 2048, 8192
# How far a product of unit vectors may be off: by rounding both to bfloat16 (8 bits, so twice 2**-9) and the result
# once more; in float32 by adding some hundred products up.
ERROR = {torch.bfloat16: 2.0**-8 + 2.0**-9 + 1e-5, torch.float32: 1e-5}
# More pairs than this an image are no candidates any more, and would fill the memory.
MOST_PAIRS_AN_IMAGE = 1000
# Pairs computed anew at once: their embeddings stay in the processor's cache.
_EXACT_AT_ONCE = 512

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows, each once, ascending.

    Attributes:
        first, second: int32 (n,), rows of a gallery, first < second.
        cosine: float32 (n,), in [-1, 1].
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    cosine: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self.first.shape == self.second.shape == self.cosine.shape:
            raise AuditImpossible("Pairs need two rows and one cosine each.")

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def joined(cls, parts: list[Pairs]) -> Pairs:
        """One after the other; none of no parts."""
        if not parts:
            return cls(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
        return cls(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.cosine for part in parts]),
        )

    def each_once(self) -> Pairs:
        """The same, sorted, without those that are there again."""
        keys = self.first.astype(np.int64) << 32 | self.second
        kept = np.unique(keys, return_index=True)[1]
        return Pairs(self.first[kept], self.second[kept], self.cosine[kept])


@dataclass(frozen=True, eq=False)
class Scale:
    """How alike a pair is, from its cosine c: c·(slope of one + slope of the other) − (both offsets).

    With m and s the mean and deviation of an image's cosines with strangers, slope ½/s and offset ½m/s give the
    normalised cosine, see `retrieval.normalisation.symmetric`.

    Attributes:
        slope: float64 (n,), > 0. offset: float64 (n,).
    """

    slope: Floats
    offset: Floats

    def __post_init__(self) -> None:
        if self.slope.shape != self.offset.shape or np.any(self.slope <= 0):
            raise AuditImpossible("Every image needs a positive slope and an offset.")

    @classmethod
    def of_cosines(cls, images: int) -> Scale:
        """The cosine itself."""
        return cls(np.full(images, 0.5), np.zeros(images))

    @classmethod
    def of_levels(cls, mean: Floats, deviation: Floats) -> Scale:
        """The normalised cosine."""
        return cls(0.5 / deviation, 0.5 * mean / deviation)


class PairScan:
    """The comparison of all images of a gallery with each other, a block of rows against all later rows at a time.

    Blocks do not depend on each other, so they may be computed in any order, again, or in another process. The product
    is taken in bfloat16 where the processor computes in it, with the threshold lowered by what that can be off; what
    remains is computed anew in float64. So the result is exact, and the same on every device.

    Args:
        embedding: float32 (n, d), of unit length; not copied.
        person: int64 (n,); pairs within one person are left out.
        floor: how alike a pair must be at least, on the scale.
        device: see `retrieval.runtime.place_of`.
        scale: by default the cosine.

    Source: P2, collection matching.
    """

    def __init__(
        self,
        embedding: NDArray[np.float32],
        person: NDArray[np.int64],
        floor: float,
        device: str = "auto",
        scale: Scale | None = None,
    ) -> None:
        self._scale = scale or Scale.of_cosines(len(embedding))
        if embedding.ndim != 2 or not person.shape == embedding.shape[:1] == self._scale.slope.shape:
            raise AuditImpossible(f"There must be one person an image, not {person.shape} for {embedding.shape}.")
        self._embedding = embedding
        self._person = person
        self._floor = floor
        self._device = place_of(device)
        self._type = torch.bfloat16 if computes_bfloat16(self._device) else torch.float32

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-len(self._embedding) // ROWS)

    def work(self, block: int) -> int:
        """How many comparisons a block takes, to tell how much is done."""
        start = block * ROWS
        stop = min(start + ROWS, len(self._embedding))
        return (stop - start) * (len(self._embedding) - start)

    def block(self, number: int) -> Pairs:
        """The pairs of the rows of one block with all later rows.

        Raises:
            AuditImpossible: so many pairs are above the threshold that it separates nobody.
            DeviceFailed: the GPU broke down or ran out of memory.
        """
        rows = slice(number * ROWS, min((number + 1) * ROWS, len(self._embedding)))
        found: list[Pairs] = []
        try:
            with torch.inference_mode():
                block = self._on_device(rows)
                for column in range(rows.start, len(self._embedding), COLUMNS):
                    columns = slice(column, min(column + COLUMNS, len(self._embedding)))
                    found.append(self.among(*self._alike(block, rows, columns)))
                    if sum(map(len, found)) > MOST_PAIRS_AN_IMAGE * ROWS:
                        raise AuditImpossible(
                            f"More than {MOST_PAIRS_AN_IMAGE} images of others look like each image, so the "
                            "calibration does not fit these images; fit it again."
                        )
        except RuntimeError as error:
            if is_device_failure(error):
                raise DeviceFailed("The GPU failed; start the audit again, or choose the device cpu.") from error
            raise
        pairs = Pairs.joined(found)
        order = np.lexsort((pairs.second, pairs.first))
        return Pairs(pairs.first[order], pairs.second[order], pairs.cosine[order])

    def among(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Pairs:
        """Those pairs of rows int64 (n,), first < second, of two persons, that are alike enough, in their order."""
        chunks = [slice(start, start + _EXACT_AT_ONCE) for start in range(0, len(first), _EXACT_AT_ONCE)]
        parts = [_dots(self._embedding, first[chunk], second[chunk]) for chunk in chunks]
        cosine = np.concatenate(parts) if parts else np.zeros(0)
        slope, offset = self._scale.slope, self._scale.offset
        kept = cosine * (slope[first] + slope[second]) - (offset[first] + offset[second]) >= self._floor
        return Pairs(
            first[kept].astype(np.int32), second[kept].astype(np.int32), np.clip(cosine[kept], -1, 1).astype(np.float32)
        )

    def _on_device(self, rows: slice) -> torch.Tensor:
        return torch.from_numpy(self._embedding[rows]).to(self._device, self._type)

    def _alike(self, block: torch.Tensor, rows: slice, columns: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and later columns of other persons that may be above the threshold."""
        product = block @ self._on_device(columns).T
        # Compared as the products are, without a copy in float32: few of them are alike enough.
        least = torch.from_numpy(self._row_floors(rows, columns)).to(self._device, self._type)
        found = _nonzero(product >= least[:, None])
        cosines = product.flatten()[found].cpu().float().numpy()
        at, column = np.divmod(found.cpu().numpy(), columns.stop - columns.start)
        first, second = at + rows.start, column + columns.start
        wanted = (first < second) & (self._person[first] != self._person[second])
        wanted &= cosines >= self._least_cosines(first, second) - ERROR[self._type]
        return first[wanted], second[wanted]

    def _least_cosines(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
        """The cosine (n,) from which on each of some rows (n,) is alike enough to another (n,)."""
        slope, offset = self._scale.slope, self._scale.offset
        found: Floats = (self._floor + offset[first] + offset[second]) / (slope[first] + slope[second])
        return found

    def _row_floors(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """A cosine (n,) that no pair of a row with any of these columns may fall short of.

        The cosine a pair needs is the mean of what each image would need with its like, weighed by their slopes; so it
        is no less than the mean with the least of the columns, where that weighs as much, or as little, as it can.
        """
        slope = self._scale.slope
        alone = (self._floor / 2 + self._scale.offset) / slope
        mine, least = alone[rows], alone[columns].min()
        steepest = np.where(mine > least, slope[columns].max(), slope[columns].min())
        needed = (slope[rows] * mine + steepest * least) / (slope[rows] + steepest)
        # Rounding this to the type of the products once more may raise it by as much as a cosine is off by that.
        return np.asarray(needed - ERROR[self._type] - torch.finfo(self._type).eps / 2 - 1e-6, np.float32)


def _nonzero(mask: torch.Tensor) -> torch.Tensor:
    """Where a mask is true, as positions int64 (m,) in the flattened one; on the CPU numpy finds few much faster."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)


def _dots(embedding: NDArray[np.float32], first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    return np.asarray(np.einsum("nd,nd->n", embedding[first].astype(np.float64), embedding[second].astype(np.float64)))
