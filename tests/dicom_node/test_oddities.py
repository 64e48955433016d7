"""What senders get wrong or seldom do: received, stored or set aside with a reason, decoded where possible."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from sqlalchemy import select

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance, Quarantined
from config.paths import DataDir
from dicom_node.header import HeaderUnreadable, read_header
from dicom_node.pixels import decode
from tests.dicom_node.sending import Sender, encoded
from tests.fuzz.test_datasets import as_file
from tests.listening import radiograph

DX = str(DigitalXRayImageStorageForPresentation)
SIDE = 32


def kept(folder: DataDir, database: Database) -> Path:
    """The file of the one image that was taken in."""
    with database.read() as session:
        return ImageFiles(folder).path(session.scalars(select(Instance)).one().file_digest)


def in_file(image: Dataset, content: bytes, path: Path) -> Path:
    path.write_bytes(as_file(image.file_meta.TransferSyntaxUID, content))
    return path


def pixels(image: Dataset) -> np.ndarray:
    return np.frombuffer(image.PixelData, np.uint16).reshape(image.Rows, image.Columns)


def digest_of_plain(tmp_path: Path) -> str:
    """Digest of the stored samples of image 1, sent as everybody sends it."""
    image = radiograph(1, side=SIDE)
    return decode(in_file(image, encoded(image), tmp_path / "plain.dcm")).pixel_sha256


def test_a_uid_with_leading_zeros_is_kept_as_it_is(sender: Sender, folder: DataDir, database: Database) -> None:
    uid = "1.2.0840.010008.007"
    image = radiograph(1, side=SIDE, SOPInstanceUID=uid, StudyInstanceUID=uid + ".1", SeriesInstanceUID="1.02")
    assert sender.send(image) == 0x0000
    header = read_header(kept(folder, database))
    assert (header.sop_instance_uid, header.study_instance_uid) == (uid, uid + ".1")
    assert decode(kept(folder, database)).rows == SIDE


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_rare_transfer_syntaxes_are_stored_and_decoded_to_the_same_samples(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path, syntax: UID
) -> None:
    image = radiograph(1, side=SIDE, syntax=syntax)
    if syntax == ExplicitVRBigEndian:
        image.PixelData = pixels(image).astype(">u2").tobytes()
    buffer = BytesIO()
    order = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    image.save_as(buffer, enforce_file_format=True, **order)
    content = buffer.getvalue()
    content = content[144 + struct.unpack_from("<L", content, 140)[0] :]
    assert sender.send_bytes(content, DX, str(image.SOPInstanceUID), str(syntax)) == 0x0000
    with database.read() as session:
        assert session.scalars(select(Instance.transfer_syntax_uid)).one() == syntax
    assert decode(kept(folder, database)).pixel_sha256 == digest_of_plain(tmp_path)


def test_an_empty_offset_table_is_no_obstacle(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    image = radiograph(1, side=SIDE)
    image.compress(RLELossless, generate_instance_uid=False)
    (frame,) = generate_frames(image.PixelData, number_of_frames=1)
    image.PixelData = encapsulate([frame], has_bot=False)
    assert image.PixelData.startswith(b"\xfe\xff\x00\xe0\0\0\0\0"), "the offset table is there and empty"
    assert sender.send(image) == 0x0000
    assert decode(kept(folder, database)).pixel_sha256 == digest_of_plain(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_file_without_the_length_of_its_meta_information_is_read(tmp_path: Path, syntax: UID) -> None:
    image = radiograph(1, side=SIDE, syntax=syntax)
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    path = tmp_path / "short.dcm"
    path.write_bytes(content[:132] + content[144:])
    assert read_header(path).patient_id == "PID1"
    assert decode(path).pixel_sha256 == digest_of_plain(tmp_path)


def test_lengths_of_groups_in_the_data_set_may_be_there_and_wrong(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    length = struct.pack("<HH2sHL", 0x0008, 0x0000, b"UL", 4, 7)
    image = radiograph(1, side=SIDE)
    content = length + encoded(image)
    assert sender.send_bytes(content, DX, str(image.SOPInstanceUID), str(ExplicitVRLittleEndian)) == 0x0000
    assert decode(kept(folder, database)).pixel_sha256 == digest_of_plain(tmp_path)


@pytest.mark.parametrize("levels", [200, 20_000])
def test_sequences_nested_too_deep_for_pydicom_are_stored_and_the_pixels_decoded(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path, levels: int
) -> None:
    content, image = nested(levels)
    assert sender.send_bytes(content, DX, str(image.SOPInstanceUID), str(ExplicitVRLittleEndian)) == 0x0000
    assert read_header(kept(folder, database)).patient_id == "PID1"
    assert decode(kept(folder, database)).pixel_sha256 == digest_of_plain(tmp_path)


def test_sequences_that_never_end_are_set_aside_with_a_reason(
    sender: Sender, folder: DataDir, database: Database
) -> None:
    content, image = nested(3000)
    assert sender.send_bytes(content[:20_000], DX, str(image.SOPInstanceUID), str(ExplicitVRLittleEndian)) == 0xC210
    with database.read() as session:
        assert session.scalars(select(Quarantined)).one().reason == "the header cannot be parsed"


def nested(levels: int) -> tuple[bytes, Dataset]:
    """Image 1 with sequences in sequences between its UIDs and its Patient ID."""
    image = radiograph(1, side=SIDE)
    plain = encoded(image)
    begin = struct.pack("<HH2sxxLHHL", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    at = plain.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    return plain[:at] + begin * levels + end * levels + plain[at:], image


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_millions_of_empty_elements_are_refused_and_not_read_one_by_one(tmp_path: Path, syntax: UID) -> None:
    zeros = bytes(40 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = packer.compress(zeros) + packer.flush() if syntax.is_deflated else zeros
    image = radiograph(1, syntax=syntax)
    with pytest.raises(HeaderUnreadable, match="cannot be parsed"):
        read_header(in_file(image, content, tmp_path / "zeros.dcm"))
