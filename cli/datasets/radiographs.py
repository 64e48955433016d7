"""One DICOM radiograph made a training image: a PNG under a pseudonym, and what its header says but names."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from archive.intake import Header
from cli.datasets.pseudonyms import Pseudonyms
from dicom_node.header import HeaderUnreadable, read_header
from dicom_node.pixels import Defect, Limits, PixelsUnreadable, decode
from dicom_node.views import HeaderView, ViewKind, header_view
from retrieval.data.age import years
from retrieval.data.source import LATERAL, LeftOut

# Ages from here on are rare enough to name a person; they are all written as this one.
OLDEST_AGE = 90

_DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Order:
    """A file to be made a training image.

    Attributes:
        name: what reports call it. label: Patient ID and issuer; None = as the header says.
    """

    path: Path
    name: str
    label: tuple[str, str] | None = None


@dataclass(frozen=True)
class Exported:
    """A training image; `patient`, `study` and `instance` are pseudonyms.

    Attributes:
        path: the PNG. pixels: stands for its pixels. taken: when the image was made, if known.
        view: `PA`, `AP`, `L` or empty. sex: `F`, `M` or empty. age: whole years.
    """

    name: str
    path: Path
    patient: str
    study: str
    instance: str
    pixels: str
    taken: datetime | None
    view: str
    sex: str
    age: float | None


@dataclass(frozen=True)
class Exporter:
    """Makes training images below a folder.

    Attributes:
        side: longest side of a PNG in pixels. lateral: take lateral views too.
        known: PNGs of an earlier run with the same key, by the pseudonym of the instance.
    """

    folder: Path
    pseudonyms: Pseudonyms
    limits: Limits
    side: int
    lateral: bool
    known: dict[str, Path]

    def export(self, order: Order) -> Exported | LeftOut:
        """Decode one file and write its PNG, 16 bits deep where the radiograph has more than 8; or say why not.

        The PNG is complete under its name or not there. A file whose PNG an earlier run has written is not decoded.
        """
        try:
            return self._export(order)
        except (HeaderUnreadable, PixelsUnreadable) as error:
            return LeftOut(order.name, error.reason, broken=True)
        except FileNotFoundError:
            return LeftOut(order.name, "the file is missing", broken=True)

    def _export(self, order: Order) -> Exported | LeftOut:
        header = read_header(order.path)
        label = order.label or header.label
        if not label[0].strip():
            return LeftOut(order.name, "no Patient ID")
        if reason := self._unwanted(_modality(header)):
            return LeftOut(order.name, reason)
        patient, instance = self.pseudonyms.of("patient", *label), self.pseudonyms.of(header.sop_instance_uid)
        tones = None
        written = self.known.get(f"{patient}/{instance}")
        if written is None:
            radiograph = decode(order.path, self.limits, max_side=self.side)
            tones = radiograph.pixels
            digest = self.pseudonyms.of("pixels", radiograph.pixel_sha256)
            written = self.folder / patient / f"{instance}-{digest}.png"
        attributes = _attributes(order.path)
        view = header_view(attributes)
        if reason := self._unwanted(view):
            return LeftOut(order.name, reason)
        if str(attributes.get("BurnedInAnnotation", "")).strip().upper() == "YES":
            return LeftOut(order.name, "the header says that the patient's name is burned into the image")
        if tones is not None:
            _write(written, tones, deep=int(attributes.get("BitsStored") or 16) > 8)
        return Exported(
            name=order.name,
            path=written,
            patient=patient,
            study=self.pseudonyms.of(header.study_instance_uid),
            instance=instance,
            pixels=written.stem.partition("-")[2],
            taken=header.acquired_at,
            view=_projection(attributes, view),
            sex=header.sex if header.sex in ("F", "M") else "",
            age=_age(attributes, header),
        )

    def _unwanted(self, view: HeaderView) -> str:
        allowed = {ViewKind.FRONTAL, ViewKind.UNKNOWN} | ({ViewKind.LATERAL} if self.lateral else set())
        return "" if view.kind in allowed else view.reason


def written_before(folder: Path) -> dict[str, Path]:
    """PNGs below `folder` by patient and instance, see `Exporter.known`."""
    return {f"{path.parent.name}/{path.stem.partition('-')[0]}": path for path in folder.glob("*/*-*.png")}


def _modality(header: Header) -> HeaderView:
    """What the modality alone says, so that the slices of a CT need not be decoded."""
    attributes = Dataset()
    attributes.Modality = header.modality
    return header_view(attributes)


def _attributes(path: Path) -> Dataset:
    """The header of a file that has been decoded, and so keeps the limits."""
    return pydicom.dcmread(path, stop_before_pixels=True)


def _projection(attributes: Dataset, view: HeaderView) -> str:
    if view.kind is ViewKind.LATERAL:
        return LATERAL
    position = str(attributes.get("ViewPosition", "")).strip().upper()
    return position if position in ("PA", "AP") else ""


def _age(attributes: Dataset, header: Header) -> float | None:
    """Whole years, from the age in the header or else from the date of birth."""
    try:
        age = years(str(attributes.get("PatientAge") or "").strip().upper())
        if age is None and header.acquired_at is not None and header.birth_date:
            born = datetime.strptime(header.birth_date, "%Y%m%d").replace(tzinfo=header.acquired_at.tzinfo)
            age = years(str((header.acquired_at - born).days / _DAYS_A_YEAR))
    except ValueError:
        return None
    return None if age is None else float(min(int(age), OLDEST_AGE))


def _write(target: Path, tones: NDArray[np.float32], deep: bool) -> None:
    """Write tones in [0, 1] as a grey PNG of 16 or 8 bits.

    Raises:
        OSError: there is no space or no permission.
    """
    top, kind = (65535, np.uint16) if deep else (255, np.uint8)
    done, data = cv2.imencode(".png", np.rint(tones * np.float32(top)).astype(kind))
    if not done:
        raise PixelsUnreadable(Defect.UNSUPPORTED, "no PNG can be made")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.tobytes())
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
