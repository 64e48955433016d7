"""Drawn chests of a few persons as files with a manifest, for a comparison in miniature."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2

from retrieval.data.phantoms import phantom_images

LEARNED, COMPARED = 6, 6


def phantom_manifest(folder: Path) -> Path:
    """Two exams each of 6 persons to learn from and of 6 to compare; every other person has a finding."""
    rows = []
    for person, exams in enumerate(phantom_images(LEARNED + COMPARED, 2, seed=5)):
        split = "train" if person < LEARNED else "test"
        for number, image in enumerate(exams):
            name = f"{person}-{number}.png"
            cv2.imwrite(str(folder / name), image)
            finding = "pneumonia" if person % 2 else "no_finding"
            rows.append((name, "phantom", f"phantom:{person}", split, finding, "PA"))
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "dataset", "patient", "split", "finding", "view"))
        writer.writerows(rows)
    return path
