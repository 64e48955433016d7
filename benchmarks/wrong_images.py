"""What the gate is asked about, by kind: real chests, real other images, chests made wrong, drawn body parts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import sklearn.datasets

from dicom_node.pixels import PixelsUnreadable, decode
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split
from retrieval.gate import NOT_FRONTAL, REASONS, Seen
from retrieval.preprocess import prepare
from retrieval.upright import Righting
from tests.solids import SOLIDS

Images = npt.NDArray[np.uint8]

_LATERAL = "L"
_DECODED = 1024
_DRAWN = 25


@dataclass(frozen=True)
class Asked:
    """Images uint8 (n, h, w) of one kind: `real`, `made` from real chests or `drawn`; `reason` is what should be said.

    No reason means that they should pass; those that are stored turned or inverted after the `righting` they need.
    """

    name: str
    origin: str
    images: Images
    reason: str | None
    righting: Righting | None = None


def asked_images(
    rows: Sequence[ImageRow], dicom: Path, cache: Path, most: int, rng: np.random.Generator
) -> Iterator[Asked]:
    """All kinds in turn.

    Args:
        rows: the manifest. dicom: folder with `index.csv`, its chest images in `chest/`.
        cache: folder for prepared images. most: images of one kind. rng: source of chance.
    """
    chests = []
    for split in (Split.VAL, Split.TEST):
        for dataset in sorted({row.dataset for row in rows if row.split is split and row.view != _LATERAL}):
            chosen = [row for row in rows if (row.split, row.dataset) == (split, dataset) and row.view != _LATERAL]
            chosen = [chosen[i] for i in np.sort(rng.permutation(len(chosen))[:most])]
            images = np.array(prepared_images(chosen, cache, quiet=True))
            chests += list(images[: most // 4]) if split is Split.TEST else []
            yield Asked(f"frontal chest, {dataset}, {split.value}", "real", images, None)
    laterals = [row for row in rows if row.view == _LATERAL]
    if laterals:
        yield Asked("lateral chest", "real", prepared_images(laterals, cache, quiet=True), REASONS[Seen.LATERAL])
    yield from _of_other_toolkits(dicom)
    yield Asked("photograph", "real", _photographs(), NOT_FRONTAL)
    for name, change, kind in MADE:
        made = np.stack([prepare(np.ascontiguousarray(change(image, rng))) for image in chests])
        if isinstance(kind, Righting):
            yield Asked(name, "made", made, None, kind)
        else:
            yield Asked(name, "made", made, None if kind is Seen.CHEST else REASONS.get(kind, NOT_FRONTAL))
    for name, draw in SOLIDS.items():
        drawn = np.stack([draw(np.random.default_rng([_DRAWN, i])) for i in range(_DRAWN)])
        yield Asked(name, "drawn", drawn, NOT_FRONTAL)


def _of_other_toolkits(dicom: Path) -> Iterator[Asked]:
    """The decodable files that are no chest, each picture once, by modality."""
    found: dict[str, dict[bytes, Images]] = {}
    with (dicom / "index.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["file"].startswith("chest/"):
                continue
            try:
                image = prepare(decode(dicom / row["file"], max_side=_DECODED).pixels)
            except PixelsUnreadable:
                continue
            found.setdefault(row["modality"] or "without modality", {})[image.tobytes()] = image
    for modality, images in sorted(found.items()):
        yield Asked(f"other DICOM, {modality}", "real", np.stack(list(images.values())), NOT_FRONTAL)


def _photographs() -> Images:
    """Scikit-learn's two sample photographs, whole and in parts."""
    cut = []
    for photograph in sklearn.datasets.load_sample_images().images:
        grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
        cut += [grey, *(grey[y : y + 210, x : x + 210] for y in (0, 210) for x in (0, 210, 420))]
    return np.stack([prepare(np.ascontiguousarray(part)) for part in cut])


def blurred(image: Images, sigma: float) -> Images:
    """Blur by `sigma` pixels of a 320-pixel image."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)


def _underexposed(image: Images, rng: np.random.Generator) -> Images:
    return np.asarray(np.clip(image / 12 + rng.normal(0, 8, image.shape), 0, 255), dtype=np.uint8)


def _overexposed(image: Images, _: np.random.Generator) -> Images:
    return np.asarray(np.clip(image.astype(np.int32) * 4, 0, 255), dtype=np.uint8)


def _covered(image: Images, _: np.random.Generator) -> Images:
    side = image.shape[1]
    strip = np.zeros_like(image)
    strip[:, side // 3 : side * 5 // 8] = image[:, side // 3 : side * 5 // 8]
    return strip


def _blank(image: Images, rng: np.random.Generator) -> Images:
    return np.full_like(image, int(rng.integers(0, 256)))


def _noise(image: Images, rng: np.random.Generator) -> Images:
    return np.asarray(rng.integers(0, 256, image.shape), dtype=np.uint8)


MADE: tuple[tuple[str, Callable[[Images, np.random.Generator], Images], Seen | Righting], ...] = (
    ("mirrored", lambda image, _: image[:, ::-1], Seen.CHEST),
    ("flipped upside down", lambda image, _: image[::-1], Righting(2, False)),
    ("rotated by 90°", lambda image, _: np.rot90(image, 1), Righting(3, False)),
    ("rotated by 180°", lambda image, _: np.rot90(image, 2), Righting(2, False)),
    ("rotated by 270°", lambda image, _: np.rot90(image, 3), Righting(1, False)),
    ("inverted", lambda image, _: 255 - image, Righting(0, True)),
    ("inverted, rotated by 90°", lambda image, _: 255 - np.rot90(image, 1), Righting(3, True)),
    ("inverted, rotated by 180°", lambda image, _: 255 - np.rot90(image, 2), Righting(2, True)),
    ("inverted, rotated by 270°", lambda image, _: 255 - np.rot90(image, 3), Righting(1, True)),
    ("right lung only", lambda image, _: image[:, : image.shape[1] // 2], Seen.PARTIAL),
    ("left lung only", lambda image, _: image[:, image.shape[1] // 2 :], Seen.PARTIAL),
    ("upper third", lambda image, _: image[: image.shape[0] // 3], Seen.PARTIAL),
    ("lower third", lambda image, _: image[image.shape[0] * 2 // 3 :], Seen.PARTIAL),
    ("blurred by 8 pixels", lambda image, _: blurred(image, 8), Seen.POOR),
    ("blurred by 16 pixels", lambda image, _: blurred(image, 16), Seen.POOR),
    ("overexposed", _overexposed, Seen.POOR),
    ("underexposed, noisy", _underexposed, Seen.POOR),
    ("covered but for a strip", _covered, Seen.POOR),
    ("blank", _blank, Seen.POOR),
    ("noise", _noise, Seen.OTHER),
)
"""Ways to make a wrong image of a frontal chest: name, function, kind; other settings than the gate learns from.

Those that can be put right have no kind but what puts them right."""
