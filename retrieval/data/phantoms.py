"""Synthetic persons as training material, so that the network also recognises the chests of the demonstration."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval import phantom, preprocess
from retrieval.phantom.side import lateral
from retrieval.preprocess import PREPARED_SIZE, prepare

Images = npt.NDArray[np.uint8]

_RENDERED = 512


def phantom_images(persons: int, exams: int, seed: int) -> Images:
    """Draw persons, several exams of each: uint8 (persons, exams, 320, 320), prepared."""
    drawn = np.empty((persons, exams, PREPARED_SIZE, PREPARED_SIZE), dtype=np.uint8)
    for index in range(persons):
        rng = np.random.default_rng([seed, index])
        person = phantom.random_person(rng)
        for exam in range(exams):
            drawn[index, exam] = prepare(phantom.render(person, phantom.random_exam(rng), _RENDERED))
    return drawn


def cached_phantoms(persons: int, exams: int, seed: int, folder: Path) -> Images:
    """What `phantom_images` draws, kept in a file of `folder` until the phantom's or the preparation's code changes."""
    path = folder / f"phantoms-{persons}-{exams}-{seed}-{_fingerprint()}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, phantom_images(persons, exams, seed))
        partial.rename(path)
    stored: Images = np.load(path, mmap_mode="r")
    return stored


def phantom_laterals(persons: int, seed: int) -> Images:
    """Draw one lateral view of each of several persons: uint8 (persons, 320, 320), prepared."""
    drawn = []
    for index in range(persons):
        rng = np.random.default_rng([seed, index])
        person = phantom.random_person(rng)
        drawn.append(prepare(lateral(person, phantom.random_exam(rng), _RENDERED)))
    return np.stack(drawn)


def _fingerprint() -> str:
    sources = [*sorted(Path(phantom.__file__).parent.glob("*.py")), Path(preprocess.__file__)]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
