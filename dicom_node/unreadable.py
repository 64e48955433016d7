"""Why an image cannot be turned into pixels, in words that hold no patient data."""

from __future__ import annotations

import enum

from config.errors import LungprintError


class Defect(enum.StrEnum):
    """What is wrong with a file or its pixels; the value is the text shown to the administrator."""

    NOT_DICOM = "not a readable DICOM file"
    HEADER_BROKEN = "the header cannot be parsed"
    NO_PIXELS = "the object holds no image"
    INCOMPLETE_HEADER = "the header lacks what is needed to read the pixels"
    MULTI_FRAME = "more than one frame"
    TOO_LARGE = "larger than the configured limit"
    UNSUPPORTED = "a pixel format that chest radiographs do not use"
    TRUNCATED = "the pixel data is shorter than the header says"
    CONTRADICTORY = "header and compressed image disagree about the size"
    UNDECODABLE = "the compressed image cannot be decoded"


class PixelsUnreadable(LungprintError):
    """An image cannot be decoded; `reason` is one plain sentence without patient data."""

    def __init__(self, defect: Defect, detail: str = "") -> None:
        self.defect = defect
        self.reason = f"{defect.value} ({detail})" if detail else defect.value
        super().__init__(self.reason)
