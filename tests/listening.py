"""A listener as a process of its own, and small radiographs to send to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from config.paths import data_dir
from tests.ports import free_port

START_SECONDS = 60.0


def radiograph(number: int, side: int = 16, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Dataset:
    """A DX image of noise; `number` makes it another image of another patient, `elements` overrule what it holds.

    An element given as None is left out.
    """
    image = Dataset()
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(number)])
    image.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    image.PatientID = f"PID{number}"
    image.PatientName = f"Doe{number}^Jane"
    image.Modality = "DX"
    image.StudyDate, image.StudyTime = "20240229", "235959"
    image.Rows = image.Columns = side
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    noise = np.random.default_rng(number).integers(0, 4095, (side, side), dtype=np.uint16)
    image.PixelData = noise.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.get("SOPClassUID", "")
    image.file_meta.MediaStorageSOPInstanceUID = image.get("SOPInstanceUID", "")
    return image


def save(image: Dataset, path: Path) -> Path:
    """Write an image as a DICOM file."""
    image.save_as(path, enforce_file_format=True)
    return path


def dataset_bytes(path: Path) -> bytes:
    """A DICOM file without its preamble and File Meta Information, whose length the file states."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM" and content[132:138] == b"\x02\x00\x00\x00UL"
    return content[144 + int.from_bytes(content[140:144], "little") :]


class ListenerProcess:
    """`python -m dicom_node.listener` on a free port; may be started again after it was stopped or killed."""

    def __init__(self, root: Path, environ: dict[str, str] | None = None, prefix: list[str] | None = None) -> None:
        self.folder = data_dir(root)
        self.port = free_port()
        self.log = root.parent / f"{root.name}-listener.log"
        self._prefix = prefix or []
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("LUNGPRINT_")}
        self._environ |= {"LUNGPRINT_DATA_DIR": str(root), "LUNGPRINT_DICOM_PORT": str(self.port)}
        space = {"LUNGPRINT_DICOM_MIN_FREE_MIB": "0", "LUNGPRINT_DICOM_LOW_SPACE_MIB": "0"}
        self._environ |= space | (environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> ListenerProcess:
        """Start and wait until it listens."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "dicom_node.listener"],
                env=self._environ,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[1],
            )
        until = time.monotonic() + START_SECONDS
        while b"Listening" not in self.log.read_bytes()[begin:]:
            assert self._process.poll() is None and time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.05)
        return self

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
