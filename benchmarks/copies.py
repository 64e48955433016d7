"""Finds pictures that a manifest holds under two patient numbers, without any trained network.

Candidates are pictures alike at 42 pixels a side or of one file name; local features (SIFT) then tell whether it is the
same exposure: two X-rays of one person never agree to a pixel or two at dozens of points, two copies of one X-ray do,
whatever was cropped, resized or compressed.

Run: `python -m benchmarks.copies MANIFEST`. What it finds belongs into `retrieval/data/copies.csv`.
"""

from __future__ import annotations

import argparse
import functools
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from retrieval.data.manifest import ImageRow, read_manifest
from retrieval.data.source import LATERAL

Points = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

CANDIDATES = 400
# Points that agree in a similarity transform. Measured: copies 85 to 804, other pictures 16 at most.
SAME_EXPOSURE = 50
_SIDE, _EDGE, _BLUR = 48, 3, 8.0
_LONGEST, _FEATURES, _RATIO, _PIXELS = 640, 1500, 0.8, 2.0


def candidates(rows: list[ImageRow]) -> list[tuple[int, int]]:
    """Pairs of images of two patients: the most alike ones, and those with one file name."""
    small = np.stack([_small(row.path) for row in track(rows, "small pictures")])
    likeness = small @ small.T
    _, patient = np.unique([row.patient for row in rows], return_inverse=True)
    first, second = np.triu_indices(len(rows), k=1)
    apart = patient[first] != patient[second]
    first, second = first[apart], second[apart]
    best = np.argsort(-likeness[first, second])[:CANDIDATES]
    found = set(zip(first[best].tolist(), second[best].tolist(), strict=True))
    names: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        names[row.path.stem].append(place)
    for places in names.values():
        found |= {(i, j) for i in places for j in places if i < j and patient[i] != patient[j]}
    return sorted(found)


def agreeing(one: Points, other: Points) -> int:
    """How many local features of two pictures lie in the same places, after shift, turn and zoom."""
    if min(len(one[0]), len(other[0])) < 2:
        return 0
    pairs = cv2.BFMatcher().knnMatch(one[1], other[1], k=2)
    good = [best for best, rest in pairs if best.distance < _RATIO * rest.distance]
    if len(good) < 3:
        return 0
    here = np.array([one[0][match.queryIdx] for match in good], np.float32)
    there = np.array([other[0][match.trainIdx] for match in good], np.float32)
    cv2.setRNGSeed(0)
    _, inside = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=_PIXELS)
    return 0 if inside is None else int(inside.sum())


def features(path: Path) -> Points:
    """Places float32 (n, 2) and descriptors float32 (n, 128) of a picture's local features."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    zoom = _LONGEST / max(picture.shape)
    even = cv2.createCLAHE(3.0, (8, 8)).apply(cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA))
    points, descriptors = cv2.SIFT_create(_FEATURES).detectAndCompute(even, None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    return np.array([point.pt for point in points], np.float32), np.asarray(descriptors, np.float32)


def _small(path: Path) -> npt.NDArray[np.float32]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    whole = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = whole[_EDGE:-_EDGE, _EDGE:-_EDGE]
    flat = (small - cv2.GaussianBlur(small, (0, 0), _BLUR)).ravel()
    flat -= flat.mean()
    return np.asarray(flat / (np.linalg.norm(flat) + 1e-9), np.float32)


def main() -> None:
    """Print the copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    rows = [row for row in read_manifest(parser.parse_args().manifest) if row.view != LATERAL]
    known = functools.cache(features)
    found = {
        (i, j): agreeing(known(rows[i].path), known(rows[j].path)) for i, j in track(candidates(rows), "candidates")
    }
    for (i, j), points in sorted(found.items(), key=lambda item: -item[1])[:40]:
        word = "copy " if points >= SAME_EXPOSURE else "other"
        print(f"{word} {points:4d}  {rows[i].patient} {rows[i].split.value} | {rows[j].patient} {rows[j].split.value}")


if __name__ == "__main__":
    main()
