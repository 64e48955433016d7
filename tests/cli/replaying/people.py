"""A hospital's manifest rows for tests that read no image."""

from __future__ import annotations

from pathlib import Path

from cli.sources import Source


def hospital(patients: int = 30, images: int = 4, dataset: str = "d", **columns: str) -> tuple[Source, ...]:
    """Patients with some images each, all of one dataset, their days three apart unless `columns` say otherwise."""
    return tuple(
        Source(
            f"{dataset}{patient}-{image}.png",
            Path(f"/nowhere/{dataset}{patient}-{image}.png"),
            {"patient": f"{dataset}{patient}", "dataset": dataset, "day": str(3 * image), "view": "PA", **columns},
        )
        for patient in range(patients)
        for image in range(images)
    )
