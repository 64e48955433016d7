from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_node.elements import read_elements
from tests.dicom_node.sending import encoded
from tests.listening import radiograph


def with_sequence(levels: int) -> Dataset:
    image = radiograph(1, side=16)
    inner = Dataset()
    inner.CodeValue = "deepest"
    for _ in range(levels):
        outer = Dataset()
        outer.ContentSequence = Sequence([inner])
        inner = outer
    image.ReferencedImageSequence = Sequence([inner])
    return image


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_elements_are_those_that_pydicom_finds(syntax: str, undefined: bool) -> None:
    image = with_sequence(3)
    image.SpecificCharacterSet, image.PatientName = "ISO_IR 192", "Жанна^Д"
    for element in image.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
    image.file_meta.TransferSyntaxUID = syntax
    content = BytesIO(encoded(image))
    uid = image.file_meta.TransferSyntaxUID
    found = read_elements(content, uid.is_implicit_VR, uid.is_little_endian, lambda _: True, lambda _: False)
    assert found.keys() == image.keys()
    assert found.PatientName == image.PatientName
    assert found.PixelData == image.PixelData
    assert found.ReferencedImageSequence[0] == image.ReferencedImageSequence[0]


def test_reading_ends_where_it_shall_and_keeps_what_it_shall() -> None:
    content = BytesIO(encoded(radiograph(1)))
    found = read_elements(content, False, True, lambda tag: tag == 0x00100020, lambda tag: tag > 0x00100020)
    assert list(map(int, found.keys())) == [0x00100020] and found.PatientID == "PID1"


@pytest.mark.parametrize("levels", [30, 5_000, 100_000])
def test_sequences_too_deep_are_left_out_and_the_rest_is_read(levels: int) -> None:
    sequence = struct.pack("<HH2sxxLHHL", 0x0040, 0xA730, b"SQ", 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    name = struct.pack("<HH2sH4s", 0x0010, 0x0020, b"LO", 4, b"PID7")
    content = BytesIO(b"\x08\x00\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4)
    deep = content.getvalue() + sequence * levels + ends * (levels + 1)
    found = read_elements(BytesIO(deep + name), False, True, lambda _: True, lambda _: False)
    assert list(map(int, found.keys())) == [0x00100020] and found.PatientID == "PID7"


@pytest.mark.parametrize("cut", [1, 9, 40, 100])
def test_a_cut_off_data_set_is_an_error_and_no_loop(cut: int) -> None:
    content = encoded(with_sequence(2))
    with pytest.raises(ValueError):
        read_elements(BytesIO(content[:-cut]), False, True, lambda _: True, lambda _: False)


def test_encapsulated_pixels_are_kept_as_they_are() -> None:
    image = radiograph(1, side=16)
    image.compress(RLELossless, generate_instance_uid=False)
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    meta = dcmread(buffer, stop_before_pixels=True).file_meta
    buffer.seek(144 + meta.FileMetaInformationGroupLength)
    found = read_elements(buffer, False, True, lambda _: True, lambda _: False)
    assert found.PixelData == image.PixelData
    found.file_meta = image.file_meta
    assert np.array_equal(found.pixel_array, image.pixel_array)
