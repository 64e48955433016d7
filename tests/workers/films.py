"""Chest X-rays as files, and a slow decoder for them; free of torch, as decoder processes load this."""

from __future__ import annotations

import datetime
import io
import time

import numpy as np

from dicom_node.wrap import PatientHeader, StudyHeader, View, digital_xray, twelve_bit
from retrieval.phantom import lateral, random_exam, random_person, render
from workers.decoder import Order, Outcome, decode_image


def film(number: int, view: View = View.PA, side: int = 512) -> bytes:
    """The DICOM file of a synthetic person; every number gives another one."""
    rng = np.random.default_rng(number)
    person, exam = random_person(rng), random_exam(rng)
    tones = lateral(person, exam, side) if view is View.LL else render(person, exam, side)
    return written(twelve_bit(np.asarray(tones, np.float32)), view, number)


def noise(side: int = 512) -> bytes:
    """A DICOM file that shows nothing, though its header says chest."""
    return written(np.random.default_rng(0).integers(0, 4096, (side, side), dtype=np.uint16), View.PA, 0)


def written(samples: np.ndarray, view: View, number: int) -> bytes:
    """Samples uint16 (H, W) as the bytes of a DX file."""
    image = digital_xray(
        samples,
        patient=PatientHeader(patient_id=f"P{number}"),
        study=StudyHeader(taken=datetime.datetime(2024, 1, 1)),
        view=view,
    )
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def decode_slowly(order: Order) -> Outcome:
    """A decoder that needs longer than a batch waits."""
    time.sleep(1.0)
    return decode_image(order)
