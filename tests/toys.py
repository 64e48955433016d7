"""Small pictures of made-up persons that a tiny network learns to tell apart in seconds."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 96
TRAINED, VALIDATED = 12, 6

CONFIG = """
name = "toy"
size = 64
network_size = 64
steps = {steps}
warmup = 1
rate = 1e-3
average = 0.5
precision = "fp32"
device = "cpu"
threads = 1
save_every = {save_every}
validate_every = {validate_every}
{more}

[network]
backbone = "squeezenet1_1"
embedding_dim = 16
bits = 32

[losses]
{losses}

[[groups]]
datasets = ["toy"]
patients = {patients}
paired_share = 1.0
"""


def toy_config(
    folder: Path,
    steps: int = 6,
    save_every: int = 2,
    validate_every: int = 3,
    patients: int = 4,
    losses: str = "",
    more: str = "",
) -> Path:
    """Write a training configuration for a tiny network on the CPU."""
    path = folder / "toy.toml"
    text = CONFIG.format(
        steps=steps, save_every=save_every, validate_every=validate_every, patients=patients, losses=losses, more=more
    )
    path.write_text(text, encoding="utf-8")
    return path


def toy_images(persons: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Two pictures of each person: uint8 (persons, 2, 96, 96); a person is a pattern, a picture has its own noise."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((persons, 2, SIDE, SIDE), dtype=np.uint8)
    for person in range(persons):
        pattern = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 6)
        pattern = (pattern - pattern.min()) / np.ptp(pattern)
        for picture in range(2):
            noisy = pattern * rng.uniform(200, 255) + rng.normal(0, 4, pattern.shape)
            pictures[person, picture] = np.clip(noisy, 0, 255)
    return pictures


def toy_manifest(folder: Path) -> Path:
    """Write PNG files and a manifest of 12 persons to train on and 6 to validate on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for person, pictures in enumerate(toy_images(TRAINED + VALIDATED)):
        for number, picture in enumerate(pictures):
            name = f"{person}-{number}.png"
            cv2.imwrite(str(folder / name), picture)
            split = "train" if person < TRAINED else "val"
            rows.append((name, "toy", f"toy:{person}", split, "no_finding" if person % 2 else "pneumonia", "PA"))
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "dataset", "patient", "split", "finding", "view"))
        writer.writerows(rows)
    return path
