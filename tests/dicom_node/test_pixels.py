"""Decoding: every format a radiograph comes in, one digest for the same pixels, and no file that harms."""

from __future__ import annotations

import csv
import datetime
import io
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from dicom_node import wrap
from dicom_node.pixels import Defect, Limits, PixelsUnreadable, decode, preview

PATIENT = wrap.PatientHeader(patient_id="SECRET-ID", name="Secret^Name")
STUDY = wrap.StudyHeader(taken=datetime.datetime(2024, 5, 6))


def _scene(rows: int = 96, columns: int = 80, top: int = 4095) -> np.ndarray:
    """A smooth picture with every quadrant different, so that flips and swapped axes are noticed."""
    y, x = np.mgrid[0:rows, 0:columns]
    values = 0.6 * x / columns + 0.3 * y / rows + 0.1 * np.sin(x / 5.0) * np.cos(y / 9.0)
    values = (values - values.min()) / np.ptp(values)
    return np.rint(values * top).astype(np.uint16 if top > 255 else np.uint8)


def _dx(pixels: np.ndarray | None = None, **changes: object) -> Dataset:
    made = wrap.digital_xray(_scene() if pixels is None else pixels, patient=PATIENT, study=STUDY)
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def _saved(dataset: Dataset, folder: Path) -> Path:
    file = folder / "image.dcm"
    dataset.save_as(file, enforce_file_format=True)
    return file


def test_tones_follow_the_stored_values(tmp_path: Path) -> None:
    scene = _scene()
    radiograph = decode(_saved(_dx(scene), tmp_path))
    assert radiograph.pixels.dtype == np.float32
    assert (radiograph.rows, radiograph.columns) == scene.shape == radiograph.pixels.shape
    assert np.allclose(radiograph.pixels, scene / 4095.0, atol=1e-3)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_digest_and_tones_do_not_depend_on_the_encoding_of_the_header(syntax: str, tmp_path: Path) -> None:
    plain = decode(_dx())
    other = _dx()
    other.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        other.PixelData = _scene().astype(">u2").tobytes()
    decoded = decode(_saved(other, tmp_path))
    assert decoded.pixel_sha256 == plain.pixel_sha256
    assert np.array_equal(decoded.pixels, plain.pixels)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_digest_survives_lossless_compression_by_pydicom(syntax: str, bits: int) -> None:
    scene = _scene(top=(1 << bits) - 1)
    compressed = _dx(scene)
    compressed.compress(syntax)
    assert decode(compressed).pixel_sha256 == decode(_dx(scene)).pixel_sha256


@pytest.mark.parametrize("tool", ["dcmcrle", "dcmcjpeg", "dcmcjpls"])
def test_digest_survives_lossless_compression_by_dcmtk(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} (Debian: dcmtk) is not installed")
    plain = _saved(_dx(), tmp_path)
    subprocess.run([tool, str(plain), str(tmp_path / "compressed.dcm")], check=True, capture_output=True)
    assert pydicom.dcmread(tmp_path / "compressed.dcm").file_meta.TransferSyntaxUID.is_compressed
    assert decode(tmp_path / "compressed.dcm").pixel_sha256 == decode(plain).pixel_sha256


def test_digest_depends_on_pixels_and_shape_alone() -> None:
    scene = _scene()
    reference = decode(_dx(scene)).pixel_sha256
    renamed = _dx(scene, PatientID="OTHER", WindowCenter="100", PhotometricInterpretation="MONOCHROME1")
    assert decode(renamed).pixel_sha256 == reference
    changed = scene.copy()
    changed[3, 4] ^= 1
    assert decode(_dx(changed)).pixel_sha256 != reference
    assert decode(_dx(scene.reshape(scene.shape[1], scene.shape[0]))).pixel_sha256 != reference


def test_lossy_jpeg_is_decoded_close_to_the_original() -> None:
    scene = _scene(top=255)
    lossy = _dx(scene)
    data = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    lossy.PixelData = encapsulate([data])
    lossy.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert np.abs(decode(lossy).pixels - scene / 255.0).mean() < 0.02


def test_overlay_bits_above_the_stored_ones_are_masked() -> None:
    scene = _scene()
    marked = _dx(scene)
    with_overlay = scene.copy()
    with_overlay[10:20, 10:20] |= 0x8000
    marked.PixelData = with_overlay.tobytes()
    assert decode(marked).pixel_sha256 == decode(_dx(scene)).pixel_sha256


def test_high_bit_above_the_stored_ones_is_shifted_down() -> None:
    scene = _scene()
    shifted = _dx(scene, HighBit=15)
    shifted.PixelData = (scene << 4).tobytes()
    assert decode(shifted).pixel_sha256 == decode(_dx(scene)).pixel_sha256


def test_signed_samples_keep_their_order() -> None:
    scene = _scene().astype(np.int16) - 2048
    signed = _dx(PixelRepresentation=1, WindowCenter="0", WindowWidth="4096")
    signed.PixelData = scene.tobytes()
    assert np.allclose(decode(signed).pixels, (scene + 2048.0) / 4095.0, atol=2e-3)


def test_sixteen_bits_are_kept() -> None:
    scene = _scene(top=65535)
    deep = wrap.digital_xray(scene, patient=PATIENT, study=STUDY, bits_stored=16)
    assert np.allclose(decode(deep).pixels, scene / 65535.0, atol=1e-4)


def test_colour_secondary_capture_becomes_grey() -> None:
    scene = _scene(top=255)
    colour = wrap.secondary_capture(scene, patient=PATIENT, study=STUDY)
    colour.SamplesPerPixel, colour.PhotometricInterpretation, colour.PlanarConfiguration = 3, "RGB", 0
    colour.PixelData = np.repeat(scene[:, :, None], 3, axis=2).tobytes()
    assert np.allclose(decode(colour).pixels, scene / 255.0, atol=1 / 200)


def test_reduction_averages_areas_and_leaves_the_digest() -> None:
    scene = _scene(400, 200)
    full, small = decode(_dx(scene)), decode(_dx(scene), max_side=100)
    assert small.pixels.shape == (100, 50)
    assert small.pixel_sha256 == full.pixel_sha256
    assert (small.rows, small.columns) == (400, 200)
    assert np.allclose(small.pixels, full.pixels.reshape(100, 4, 50, 4).mean(axis=(1, 3)), atol=2e-3)


def test_preview_is_a_jpeg_of_the_side_asked_for() -> None:
    image = cv2.imdecode(np.frombuffer(preview(decode(_dx(_scene(400, 200))), 128), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (128, 64)
    assert image[-1, -1] > image[0, 0] + 150


def test_image_that_claims_sixty_thousand_squared_is_refused_unread() -> None:
    image = _dx(Rows=60000, Columns=60000)
    tracemalloc.start()
    try:
        with pytest.raises(PixelsUnreadable) as refused:
            decode(image)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.defect is Defect.TOO_LARGE
    assert taken < 2**20, "no memory is taken for what is refused"


def test_codestream_that_claims_another_size_than_the_header_is_refused() -> None:
    bomb = _dx(_scene(top=255))
    data = bytearray(cv2.imencode(".jpg", _scene(top=255))[1].tobytes())
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    bomb.PixelData = encapsulate([bytes(data)])
    bomb.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(PixelsUnreadable) as refused:
        decode(bomb)
    assert refused.value.defect is Defect.CONTRADICTORY


def test_deflated_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    big = _dx(np.zeros((2000, 2000), np.uint16))
    big.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = _saved(big, tmp_path)
    assert file.stat().st_size < 100_000
    with pytest.raises(PixelsUnreadable, match="inflates"):
        decode(file, Limits(max_bytes=1_000_000))


def test_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PixelsUnreadable, match="file over"):
        decode(_saved(_dx(), tmp_path), Limits(max_bytes=4096))


def test_deeply_nested_sequences_do_not_crash(tmp_path: Path) -> None:
    nested = b""
    depth = 3000
    for _ in range(depth):
        nested += struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        nested += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    nested += (struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)) * depth
    shell = _dx()
    del shell.PixelData
    buffer = io.BytesIO()
    shell.save_as(buffer, enforce_file_format=True)
    file = tmp_path / "nested.dcm"
    file.write_bytes(buffer.getvalue() + nested)
    with pytest.raises(PixelsUnreadable):
        decode(file)


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        ({"NumberOfFrames": "2"}, Defect.MULTI_FRAME),
        ({"Rows": 4000, "Columns": 4000}, Defect.TRUNCATED),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, Defect.UNSUPPORTED),
        ({"BitsStored": 17}, Defect.UNSUPPORTED),
        ({"HighBit": 3}, Defect.UNSUPPORTED),
        ({"SamplesPerPixel": 4}, Defect.UNSUPPORTED),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Defect.UNSUPPORTED),
        ({"Rows": 0}, Defect.UNSUPPORTED),
        ({"Rows": None}, Defect.INCOMPLETE_HEADER),
        ({"PixelData": b""}, Defect.TRUNCATED),
    ],
)
def test_defect_is_named_and_no_patient_data_told(change: dict[str, object], defect: Defect) -> None:
    with pytest.raises(PixelsUnreadable) as refused:
        decode(_dx(**change))
    assert refused.value.defect is defect
    assert "secret" not in refused.value.reason.lower()


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "PixelData", "PhotometricInterpretation"])
def test_missing_attribute_is_a_defect(keyword: str) -> None:
    crippled = _dx()
    delattr(crippled, keyword)
    with pytest.raises(PixelsUnreadable):
        decode(crippled)


def test_garbage_and_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = _saved(_dx(), tmp_path).read_bytes()
    for length in (0, 10, 131, 132, 140, 200, 400, 700, len(whole) // 2, len(whole) - 1):
        file = tmp_path / f"cut{length}.dcm"
        file.write_bytes(whole[:length])
        with pytest.raises(PixelsUnreadable):
            decode(file)
    (tmp_path / "noise.dcm").write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(PixelsUnreadable) as refused:
        decode(tmp_path / "noise.dcm")
    assert refused.value.defect is Defect.NOT_DICOM


def test_damaged_codestreams_are_refused_or_decoded_but_never_fatal() -> None:
    compressed = _dx()
    compressed.compress(JPEG2000Lossless)
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(40):
        data = bytearray(compressed.PixelData)
        for position in rng.integers(20, len(data), 6):
            data[position] = int(rng.integers(256))
        damaged = _dx()
        damaged.file_meta.TransferSyntaxUID = JPEG2000Lossless
        damaged.PixelData = bytes(data)
        try:
            assert decode(damaged).pixels.shape == (96, 80)
            outcomes.add("decoded")
        except PixelsUnreadable:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_no_value_of_the_header_reaches_warnings_or_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with pydicom.config.disable_value_validation():
        odd = _dx(ViewPosition="secret^name of a patient", BodyPartExamined="secret id", WindowCenter="123456")
        file = _saved(odd, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"123456", b"secret"))
    caplog.set_level("DEBUG")
    decode(file)
    told = caplog.text + " ".join(str(warning.message) for warning in recwarn.list)
    assert "secret" not in told.lower()


def test_missing_file_is_an_operating_system_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "missing.dcm")


_OUTCOMES = """
import json, sys
from pathlib import Path
from dicom_node.pixels import PixelsUnreadable, decode
for line in sys.stdin:
    try:
        radiograph = decode(Path(line.rstrip("\\n")), max_side=512)
        tones = radiograph.pixels
        low, high = float(tones.min()), float(tones.max())
        answer = {"ok": True, "digest": radiograph.pixel_sha256, "low": low, "high": high}
    except PixelsUnreadable as error:
        answer = {"ok": False, "reason": error.reason}
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.timeout(900)
def test_every_real_file_is_decoded_or_refused_with_a_reason(shared: Path) -> None:
    folder = shared / "data" / "dicom"
    with (folder / "index.csv").open(newline="") as index:
        files = [row["file"] for row in csv.DictReader(index)]
    run = subprocess.run(
        [sys.executable, "-c", _OUTCOMES],
        input="".join(f"{folder / file}\n" for file in files),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=850,
    )
    outcomes = dict(zip(files, (json.loads(line) for line in run.stdout.splitlines()), strict=True))
    chests = [outcome for file, outcome in outcomes.items() if file.startswith("chest/")]
    assert all(outcome["ok"] for outcome in chests)
    assert all(outcome["low"] >= 0.0 and outcome["high"] <= 1.0 for outcome in outcomes.values() if outcome["ok"])
    assert all(outcome["reason"] for outcome in outcomes.values() if not outcome["ok"])
    digests = {
        outcomes[file]["digest"] for file in files if file.endswith(("CT1_J2KR", "CT1_JLSL", "CT1_JPLL", "CT1_RLE"))
    }
    assert len(digests) == 1, "the same image in four lossless encodings"
    assert sum(outcome["ok"] for outcome in outcomes.values()) >= 180
