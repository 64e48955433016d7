"""Writes grey images as valid DICOM radiographs: digital X-ray, computed radiography, secondary capture."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import uuid
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from config.errors import LungprintError

SITE_ROOT = "2.25."
_IMPLEMENTATION_UID = UID("2.25.152530476423107562935871940583210457711")
_MANUFACTURER = "Lungprint"
_TWELVE_BITS = 12

Grey = NDArray[np.uint8] | NDArray[np.uint16]


class CannotWrap(LungprintError):
    """An array or a file cannot be written as a DICOM image."""


class View(enum.Enum):
    """View position: its value, SNOMED CT code and meaning (CID 4010), patient orientation."""

    PA = ("PA", "272479007", "postero-anterior", ("L", "F"))
    AP = ("AP", "399348003", "antero-posterior", ("L", "F"))
    LL = ("LL", "399173006", "left lateral", ("A", "F"))

    @property
    def position(self) -> str:
        """Value of View Position (0018,5101)."""
        return self.value[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatientHeader:
    """Demographics. `name` in DICOM's form FAMILY^GIVEN, `sex` "F", "M", "O" or unknown ("")."""

    patient_id: str
    issuer: str = ""
    name: str = ""
    birth_date: datetime.date | None = None
    sex: str = ""

    def __post_init__(self) -> None:
        if not self.patient_id or len(self.patient_id) > 64 or len(self.issuer) > 64:
            raise CannotWrap("Patient ID needs 1 to 64 characters and its issuer at most 64.")
        if self.sex not in ("F", "M", "O", ""):
            raise CannotWrap('Patient sex must be "F", "M", "O" or empty.')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StudyHeader:
    """Study, series and instance of an image; UIDs left empty are generated."""

    taken: datetime.datetime
    accession_number: str = ""
    study_id: str = "1"
    study_uid: str = ""
    series_uid: str = ""
    instance_uid: str = ""
    series_number: int = 1
    instance_number: int = 1
    description: str = "Chest X-ray"
    institution: str = ""

    def __post_init__(self) -> None:
        if len(self.accession_number) > 16 or len(self.study_id) > 16:
            raise CannotWrap("Accession number and study ID hold at most 16 characters.")


def uid_from(*entropy: object) -> str:
    """A UID under the UUID root: always the same for the same entropy, a new one without any.

    >>> uid_from("seed", 1) == uid_from("seed", 1)
    True
    """
    if not entropy:
        return f"{SITE_ROOT}{uuid.uuid4().int}"
    digest = hashlib.sha256(repr(entropy).encode()).digest()
    return f"{SITE_ROOT}{uuid.UUID(bytes=digest[:16], version=5).int}"


def twelve_bit(tones: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Tones (H, W) in [0, 1] as 12-bit values, uint16 (H, W) in 0 to 4095."""
    scaled = np.rint(np.clip(tones, 0.0, 1.0) * np.float32((1 << _TWELVE_BITS) - 1))
    return np.asarray(scaled, dtype=np.uint16)


def grey_image(path: Path) -> NDArray[np.uint8]:
    """Any image file OpenCV reads (JPEG, PNG, TIFF ...) as uint8 (H, W).

    Raises:
        CannotWrap: missing, or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise CannotWrap(f"{path.name} cannot be read as an image.")
    return np.asarray(image, dtype=np.uint8)


def digital_xray(
    pixels: Grey,
    *,
    patient: PatientHeader,
    study: StudyHeader,
    view: View = View.PA,
    bits_stored: int | None = None,
    inverted: bool = False,
    pixel_spacing_mm: float = 0.2,
    window: tuple[float, float] | None = None,
    burned_in_annotation: bool = False,
) -> Dataset:
    """A chest radiograph as Digital X-Ray Image Storage - For Presentation.

    Args:
        pixels: uint8 or uint16 (H, W); air dark and bone bright, or the reverse when `inverted`.
        bits_stored: 6 to 16; by default 8 for uint8 and 12 for uint16.
        inverted: written as MONOCHROME1.
        pixel_spacing_mm: distance of pixel centres on the detector.
        window: centre and width; the full range by default.

    Raises:
        CannotWrap: wrong shape or type, or values that do not fit `bits_stored`.

    Source: DICOM PS3.3 A.26.
    """
    image = _radiograph_header(patient, study, view, "DX", DigitalXRayImageStorageForPresentation)
    image.update(_image(pixels, bits_stored, inverted, window))
    image.ImageType = ["ORIGINAL", "PRIMARY", ""]
    image.PresentationIntentType = "FOR PRESENTATION"
    image.ImageLaterality = "U"
    image.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
    image.ViewCodeSequence = Sequence([_view_code(view)])
    image.AcquisitionContextSequence = Sequence([])
    image.DetectorType = "SCINTILLATOR"
    image.DetectorConfiguration = "AREA"
    image.ImagerPixelSpacing = [pixel_spacing_mm, pixel_spacing_mm]
    image.PositionerType = "NONE"
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = 1 if inverted else -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    image.LossyImageCompression = "00"
    image.BurnedInAnnotation = "YES" if burned_in_annotation else "NO"
    return image


def computed_radiography(
    pixels: Grey,
    *,
    patient: PatientHeader,
    study: StudyHeader,
    view: View = View.AP,
    bits_stored: int | None = None,
    inverted: bool = False,
    window: tuple[float, float] | None = None,
) -> Dataset:
    """A chest radiograph as Computed Radiography Image Storage; arguments and errors as `digital_xray`."""
    image = _radiograph_header(patient, study, view, "CR", ComputedRadiographyImageStorage)
    image.update(_image(pixels, bits_stored, inverted, window))
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    return image


def secondary_capture(pixels: Grey, *, patient: PatientHeader, study: StudyHeader, view: View | None = None) -> Dataset:
    """A grey image as Secondary Capture, as digitised film arrives; the series description names the view."""
    image = _common_header(patient, study, "OT", SecondaryCaptureImageStorage)
    image.update(_image(pixels, None, False, None))
    image.ConversionType = "DF"
    image.BodyPartExamined = "CHEST"
    image.PatientOrientation = list(view.value[3]) if view else ""
    image.SeriesDescription = f"Chest {view.position}" if view else study.description
    return image


def _image(pixels: Grey, bits_stored: int | None, inverted: bool, window: tuple[float, float] | None) -> Dataset:
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or min(pixels.shape) < 1:
        raise CannotWrap("An image must be a two-dimensional array of uint8 or uint16.")
    allocated = 8 * pixels.dtype.itemsize
    stored = bits_stored or (8 if allocated == 8 else _TWELVE_BITS)
    if not 6 <= stored <= allocated or int(pixels.max()) >= 1 << stored:
        raise CannotWrap(f"The values do not fit {stored} bits.")
    image = Dataset()
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    image.Rows, image.Columns = (int(side) for side in pixels.shape)
    image.BitsAllocated, image.BitsStored, image.HighBit = allocated, stored, stored - 1
    image.PixelRepresentation = 0
    centre, width = window or (float(1 << (stored - 1)), float(1 << stored))
    image.WindowCenter, image.WindowWidth = f"{centre:g}", f"{width:g}"
    data = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    image.add_new("PixelData", "OB" if allocated == 8 else "OW", data + b"\0" * (len(data) % 2))
    return image


def _radiograph_header(
    patient: PatientHeader, study: StudyHeader, view: View, modality: str, sop_class: UID
) -> Dataset:
    header = _common_header(patient, study, modality, sop_class)
    header.BodyPartExamined = "CHEST"
    header.ViewPosition = view.position
    header.PatientOrientation = list(view.value[3])
    header.SeriesDescription = f"Chest {view.position}"
    return header


def _common_header(patient: PatientHeader, study: StudyHeader, modality: str, sop_class: UID) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = sop_class
    header.SOPInstanceUID = study.instance_uid or uid_from()
    header.StudyInstanceUID = study.study_uid or uid_from()
    header.SeriesInstanceUID = study.series_uid or uid_from()
    header.Modality = modality
    header.Manufacturer = _MANUFACTURER
    header.InstitutionName = study.institution
    date, clock = study.taken.strftime("%Y%m%d"), study.taken.strftime("%H%M%S")
    for part in ("Study", "Series", "Acquisition", "Content"):
        setattr(header, f"{part}Date", date)
        setattr(header, f"{part}Time", clock)
    header.AccessionNumber = study.accession_number
    header.ReferringPhysicianName = ""
    header.StudyDescription = study.description
    header.StudyID = study.study_id
    header.SeriesNumber, header.InstanceNumber = study.series_number, study.instance_number
    header.PatientID = patient.patient_id
    if patient.issuer:
        header.IssuerOfPatientID = patient.issuer
    header.PatientName = patient.name
    header.PatientBirthDate = patient.birth_date.strftime("%Y%m%d") if patient.birth_date else ""
    header.PatientSex = patient.sex
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.ImplementationClassUID = _IMPLEMENTATION_UID
    return header


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _view_code(view: View) -> Dataset:
    code = _code(view.value[1], "SCT", view.value[2])
    code.ViewModifierCodeSequence = Sequence([])
    return code
