"""Makes a picture for the PACS that shows both images of an alert side by side, as a Secondary Capture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from archive.models import now
from dicom_node.report_subject import SERIES_NUMBER, Subject, adopt, instance_uid, series_uid
from dicom_node.wrap import PatientHeader, StudyHeader, secondary_capture

Grey = NDArray[np.uint8]

# Side of each image and height of a line of text, in pixels.
SIDE, LINE = 1024, 56
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Size of the letters, and pixels that stay free at either end of a line.
_SIZE, _EDGE = 1.1, 16


def side_by_side(subject: Subject, left: Grey, right: Grey, done: tuple[str, str] = ("", "")) -> Dataset:
    """A Secondary Capture Image (PS3.3 A.8.1) of two images with captions, without a name.

    Args:
        left, right: the alert's image and the other one, uint8 (H, W), any size.
        done: what was done to each that is stored turned or inverted, in words; empty for others.
    """
    image = secondary_capture(
        compose(subject, left, right, done),
        patient=PatientHeader(patient_id=subject.label.patient_id or "-"),
        study=StudyHeader(
            taken=now().astimezone(),
            study_uid=str(subject.image.StudyInstanceUID),
            series_uid=series_uid(subject, "capture"),
            instance_uid=instance_uid(subject, "capture"),
            series_number=SERIES_NUMBER + 1,
        ),
    )
    adopt(image, subject)
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.SeriesDescription = "Identity check, side by side"
    image.DerivationDescription = "; ".join(
        [
            "Two radiographs side by side, reduced to 8 bits",
            *(f"the {side} one {_in_ascii(what)}" for side, what in zip(("left", "right"), done, strict=True) if what),
        ]
    )
    sources = [subject.image] if subject.other is None else [subject.image, subject.other]
    image.SourceImageSequence = Sequence([_reference(source) for source in sources])
    burned_in = {str(source.get("BurnedInAnnotation", "")) for source in sources}
    if "YES" in burned_in or burned_in == {"NO"}:
        image.BurnedInAnnotation = "YES" if "YES" in burned_in else "NO"
    return image


def compose(subject: Subject, left: Grey, right: Grey, done: tuple[str, str] = ("", "")) -> Grey:
    """The picture, uint8 (SIDE + 2 LINE, 2 SIDE): a headline, a caption above each image."""
    canvas = np.zeros((SIDE + 2 * LINE, 2 * SIDE), np.uint8)
    kind = subject.kind.value.replace("_", " ").capitalize()
    _write(
        canvas,
        f"{kind}, probability {100 * subject.probability:.0f} %. Not checked. Not for diagnosis.",
        0,
        0,
        2 * SIDE,
    )
    other = "Earlier image of this patient" if subject.same_label else "Image filed under another Patient ID"
    for column, (caption, picture) in enumerate((("Image of this study", left), (other, right))):
        said = f"{caption}, {_in_ascii(done[column])}" if done[column] else caption
        _write(canvas, said, column * SIDE, LINE, SIDE)
        fitted = _fit(picture)
        top = 2 * LINE + (SIDE - fitted.shape[0]) // 2
        start = column * SIDE + (SIDE - fitted.shape[1]) // 2
        canvas[top : top + fitted.shape[0], start : start + fitted.shape[1]] = fitted
    return canvas


def _in_ascii(done: str) -> str:
    """Neither the font nor a header without a character set of its own has a degree sign."""
    return done.replace("°", " degrees")


def _fit(picture: Grey) -> Grey:
    scale = (SIDE - 8) / max(picture.shape)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write(canvas: Grey, text: str, left: int, top: int, room: int) -> None:
    """A line of text, smaller where it would need more than `room` pixels."""
    (width, _), _ = cv2.getTextSize(text, _FONT, _SIZE, 2)
    size = _SIZE * min(1.0, (room - 2 * _EDGE) / width)
    cv2.putText(canvas, text, (left + _EDGE, top + LINE - 18), _FONT, size, 255, 2, cv2.LINE_AA)


def _reference(source: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return reference
