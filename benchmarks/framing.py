"""Chests that are badly framed: small in their image, or far from its middle. Are they laid right, and recognised?

Run as: python -m benchmarks.framing --cache FOLDER

Each image of test patients is moved as a careless exposure would move it, and matched with the images as they are. The
peer is the same network with the registration as it was before: from where chests usually lie, without looking farther.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.record import Row, append_rows
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder, Encodings
from retrieval.evaluation.encodings import encode_all
from retrieval.evaluation.pairs import fair_pairs, numbered
from retrieval.evaluation.search import search
from retrieval.evaluation.verification import RankedPairs
from retrieval.networks.atlas import Atlas, as_matrices, laid, structure
from retrieval.networks.input import network_input
from retrieval.runtime import computes_bfloat16, place_of
from retrieval.training.kinds import kind_of
from retrieval.weights import Loaded, load_weights

DATASETS = ("hannover", "kermany", "nih")
# Size of the chest beside the image's, shift as a share of half the side, radians.
FRAMINGS = {
    "as it is": (1.0, 0.0, 0.0),
    "three quarters of the size": (0.75, 0.1, 0.05),
    "six tenths of the size": (0.6, 0.1, 0.05),
    "half the size": (0.5, 0.1, 0.05),
    "shifted by 0.3": (1.0, 0.3, 0.05),
    "shifted by 0.5": (1.0, 0.5, 0.05),
    "turned by 10°": (1.0, 0.05, 0.17),
}
LAID_WRONG = 0.15
"""Of half the chest's size: from here on, the middle of a chest lies on the wrong ribs."""
_CORNERS = torch.tensor([[x, y, 1.0] for x in (-0.4, 0.4) for y in (-0.4, 0.4)]).T
_CHUNK = 64


class Nearby(Atlas):
    """A mean chest that is looked for only where chests usually lie."""

    def poses(self, structures: Tensor) -> Tensor:
        """See `Atlas.near`."""
        return self.near(structures)


@dataclass(frozen=True)
class Figures:
    """Of moved images: share laid wrong, and by kind of patient AUC, P@1 and the share that the gate lets through."""

    laid_wrong: float
    by_kind: dict[str, tuple[float, float, float]]


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or path of the weight file.")
@click.option("--manifest", type=click.Path(path_type=Path), default="../shared/data/manifest.csv", show_default=True)
@click.option(
    "--split",
    type=click.Choice([s.value for s in Split]),
    default=Split.TEST.value,
    show_default=True,
    help="Whose images.",
)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/framing.csv.")
def main(weights: str, manifest: Path, split: str, cache: Path, record: bool) -> None:
    """Move every image with a partner, lay and match it, with and without looking farther."""
    rows = _with_partners(
        [r for r in trusted(read_manifest(manifest, DATASETS)) if r.split.value == split and r.view != "L"]
    )
    images = np.array(prepared_images(rows, cache))
    loaded = load_weights(weights)
    table = Table("framing", "looked for", "laid wrong", *(f"{kind}: AUC, P@1, let through" for kind in _kinds(rows)))
    results: list[Row] = []
    for looked, one in (("near only", _nearby(loaded)), ("farther, too", loaded)):
        place = place_of("auto")
        encoder, atlas = Encoder(one, place, computes_bfloat16(place)), one.network.atlas
        if atlas is None:
            raise click.UsageError(f"The weights {weights} lay images onto no mean chest.")
        still = encode_all(encoder, images, f"as they are, {looked}", put_right=False)
        for name, (size, shift, turn) in FRAMINGS.items():
            applied = _moves(len(images), size, shift, turn)
            moved = _square(images) if name == "as it is" else laid(_square(images), applied)
            pixels = (255 * moved[:, 0]).round().byte().numpy()
            encoded = encode_all(encoder, pixels, f"{name}, {looked}", put_right=False)
            found = Figures(_laid_wrong(atlas, images, pixels, applied), _matched(rows, still, encoded))
            table.add_row(
                name,
                looked,
                f"{found.laid_wrong:.3f}",
                *(", ".join(f"{x:.3f}" for x in figures) for figures in found.by_kind.values()),
            )
            results += _rows(found, f"{name}, looked for {looked}, {len(rows)} images, {split}, {encoder.model_id}")
    Console(width=150).print(table)
    if record:
        Console().print(f"appended to {append_rows('framing', results)}")


def _nearby(loaded: Loaded) -> Loaded:
    network = copy.deepcopy(loaded.network)
    if network.atlas is not None:
        atlas = Nearby()
        atlas.mean_chest.copy_(network.atlas.mean_chest)
        network.atlas = atlas
    return replace(loaded, network=network)


def _with_partners(rows: Sequence[ImageRow]) -> list[ImageRow]:
    images = Counter(row.patient for row in rows)
    return [row for row in rows if images[row.patient] > 1]


def _kinds(rows: Sequence[ImageRow]) -> list[str]:
    return sorted({kind_of(row) for row in rows})


def _moves(count: int, size: float, shift: float, turn: float) -> Tensor:
    """Poses (count, 5) that shift in a direction and turn to a side drawn by lot, the same for every registration."""
    rng = np.random.default_rng(11)
    angle, side = rng.uniform(0, 2 * np.pi, count), rng.choice((-1, 1), count)
    zoom = np.full(count, -np.log(size))
    return torch.from_numpy(
        np.stack([zoom, zoom, turn * side, shift * np.cos(angle), shift * np.sin(angle)], axis=1)
    ).float()


def _square(images: npt.NDArray[np.uint8]) -> Tensor:
    return network_input(torch.from_numpy(images), images.shape[-1])


def _laid_wrong(atlas: Atlas, images: npt.NDArray[np.uint8], moved: npt.NDArray[np.uint8], applied: Tensor) -> float:
    """Share of moved images whose mean chest is not where it is in the image as it was."""
    with torch.inference_mode():
        before, after = (
            torch.cat([_poses(atlas, part[i : i + _CHUNK]) for i in range(0, len(part), _CHUNK)])
            for part in (images, moved)
        )
    truth = torch.linalg.inv(_matrices(applied)) @ _matrices(before)
    error = ((_matrices(after) - truth) @ _CORNERS)[:, :2].norm(dim=1).mean(dim=1)
    return float((error / truth[:, :2, :2].det().abs().sqrt() > LAID_WRONG).float().mean())


def _poses(atlas: Atlas, images: npt.NDArray[np.uint8]) -> Tensor:
    return atlas.poses(structure(_square(images).to(atlas.mean_chest.device))).cpu()


def _matrices(poses: Tensor) -> Tensor:
    """Poses (n, 5) as homogeneous matrices (n, 3, 3)."""
    return torch.cat([as_matrices(poses), torch.tensor([0.0, 0.0, 1.0]).expand(len(poses), 1, 3)], dim=1)


def _matched(rows: Sequence[ImageRow], still: Encodings, moved: Encodings) -> dict[str, tuple[float, float, float]]:
    """Moved images against those that are as they were, by kind of patient: AUC, P@1, share let through."""
    found = {}
    kinds = np.array([kind_of(row) for row in rows])
    for kind in _kinds(rows):
        at = np.flatnonzero(kinds == kind)
        mine = [rows[i] for i in at.tolist()]
        patients = numbered([row.patient for row in mine])
        first, second = fair_pairs(patients, numbered([f"{row.dataset}, {row.view}" for row in mine]))
        similarity = moved.embedding[at] @ still.embedding[at].T
        one, other = np.concatenate([first, second]), np.concatenate([second, first])
        ranked = RankedPairs(similarity[one, other], patients[one] == patients[other], (patients[one], patients[other]))
        found[kind] = (
            ranked.operating().auc(),
            search(similarity, patients).precision_at_1,
            float(moved.gate.suitable[at].mean()),
        )
    return found


def _rows(found: Figures, conditions: str) -> list[Row]:
    rows = [Row("framing", "laid wrong", found.laid_wrong, "share", conditions)]
    for kind, figures in found.by_kind.items():
        rows += [
            Row("framing", f"{kind}, {what}", value, "share", conditions)
            for what, value in zip(("AUC", "P@1", "let through"), figures, strict=True)
        ]
    return rows


if __name__ == "__main__":
    main()
