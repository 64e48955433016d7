"""Comparison without learning: histograms, grey cosine, global hashes, SIFT and ORB, as P3 sets them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from retrieval.bench.measures import cosine, minus_hamming
from retrieval.bench.method import About, ArrayMethod, ImageMethod, Images, Matrix

Descriptors = npt.NDArray[Any]

# Distances of which less is more alike; correlation and intersection are similarities already.
_HISTOGRAM = {
    "correlation": (cv2.HISTCMP_CORREL, 1),
    "chi-square": (cv2.HISTCMP_CHISQR, -1),
    "intersection": (cv2.HISTCMP_INTERSECT, 1),
    "Bhattacharyya": (cv2.HISTCMP_BHATTACHARYYA, -1),
}
_HASHES: dict[str, Callable[[Image.Image], imagehash.ImageHash]] = {
    "aHash": imagehash.average_hash,
    "pHash": imagehash.phash,
    "dHash": imagehash.dhash,
}
MOST_KEYPOINTS = 500


class Histogram(ArrayMethod):
    """Grey-level histogram of 256 bins that sum to one, compared as OpenCV does.

    Args:
        metric: `correlation` (its size counts, not its sign, as in the paper), `chi-square`, `intersection` or
            `Bhattacharyya`. Source: P3, eq. 1-4.
    """

    def __init__(self, metric: str) -> None:
        self.about = About(f"histogram-{metric.lower()}", f"histogram, {metric}", "P3 §2.1")
        self._metric, self._sign = _HISTOGRAM[metric]

    def represent(self, images: Images) -> npt.NDArray[np.float32]:
        """Histograms float32 (n, 256)."""
        counts = [np.bincount(image.ravel(), minlength=256) for image in images]
        return np.asarray(np.stack(counts) / images[0].size, dtype=np.float32)

    def similarity(self, first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Matrix:
        """Similarities float32 (n, m)."""
        found = np.array([[cv2.compareHist(a, b, self._metric) for b in second] for a in first], dtype=np.float32)
        return np.abs(found) if self._metric == cv2.HISTCMP_CORREL else self._sign * found


class GreyCosine(ArrayMethod):
    """Cosine of the grey images as they are. Source: P3, eq. 5."""

    about = About("grey-cosine", "grey cosine", "P3 §2.2")

    def represent(self, images: Images) -> npt.NDArray[np.uint8]:
        """The pixels, uint8 (n, h·w)."""
        return images.reshape(len(images), -1)

    def similarity(self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Matrix:
        """Cosines float32 (n, m)."""
        return cosine(first.astype(np.float32), second.astype(np.float32))


class GlobalHash(ArrayMethod):
    """64 bits for a whole image, as the library imagehash makes them, compared by Hamming distance.

    Args:
        name: `aHash`, `pHash` or `dHash`. Source: P3, eq. 6-8.
    """

    def __init__(self, name: str) -> None:
        self.about = About(name.lower(), name, "P3 §2.3")
        self._hash = _HASHES[name]

    def represent(self, images: Images) -> npt.NDArray[np.uint8]:
        """Packed bits uint8 (n, 8)."""
        return np.stack([np.packbits(self._hash(Image.fromarray(image)).hash) for image in images])

    def similarity(self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Matrix:
        """Minus the Hamming distances, float32 (n, m)."""
        return minus_hamming(first, second)


class Keypoints(ImageMethod[Sequence[Descriptors]]):
    """Number of keypoints that are each other's nearest by brute force. Source: P3, §2.4 and §2.5.

    Args:
        name: `SIFT` (descriptors compared by Manhattan distance) or `ORB` (by Hamming distance).
        most: keypoints kept of an image, the strongest.
    """

    def __init__(self, name: str, most: int = MOST_KEYPOINTS) -> None:
        section = {"SIFT": "P3 §2.4", "ORB": "P3 §2.5"}[name]
        self.about = About(name.lower(), f"{name}, brute force, {most} keypoints", section)
        # The paper counts nearest neighbours below a distance it does not name; mutual nearest need no such number.
        self._finder: cv2.Feature2D = (cv2.SIFT if name == "SIFT" else cv2.ORB).create(nfeatures=most)
        norm = cv2.NORM_L1 if name == "SIFT" else cv2.NORM_HAMMING
        self._matcher = cv2.BFMatcher(norm, crossCheck=True)

    def represent(self, images: Images) -> list[Descriptors]:
        """Descriptors of each image, uint8 (k, 128) or (k, 32); k may be 0."""
        found = (self._finder.detectAndCompute(image, None)[1] for image in images)
        width = self._finder.descriptorSize()
        # OpenCV gives SIFT's as whole numbers from 0 to 255 in float32, and compares bytes 16 times as fast.
        return [np.empty((0, width), np.uint8) if one is None else one.astype(np.uint8) for one in found]

    def similarity(self, first: Sequence[Descriptors], second: Sequence[Descriptors]) -> Matrix:
        """Counts of matches, float32 (n, m)."""
        if first is not second:
            return np.array([[self._matches(a, b) for b in second] for a in first], dtype=np.float32)
        # Matches are mutual, so half of the comparisons do.
        found = np.zeros((len(first), len(first)), dtype=np.float32)
        for i, one in enumerate(first):
            for j in range(i, len(first)):
                found[i, j] = found[j, i] = self._matches(one, first[j])
        return found

    def chosen(self, represented: Sequence[Descriptors], positions: list[int]) -> list[Descriptors]:
        """Descriptors of the images at these positions."""
        return [represented[i] for i in positions]

    def nbytes(self, represented: Sequence[Descriptors]) -> int:
        """Size of all descriptors."""
        return sum(one.nbytes for one in represented)

    def _matches(self, first: Descriptors, second: Descriptors) -> int:
        return len(self._matcher.match(first, second)) if len(first) and len(second) else 0


def classical_methods(keypoints: int = MOST_KEYPOINTS) -> list[ImageMethod[Any]]:
    """All of P3's classical methods; SIFT and ORB keep at most so many keypoints of an image."""
    return [
        *(Histogram(metric) for metric in _HISTOGRAM),
        GreyCosine(),
        *(GlobalHash(name) for name in _HASHES),
        Keypoints("SIFT", keypoints),
        Keypoints("ORB", keypoints),
    ]
