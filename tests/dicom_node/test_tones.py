"""Tone tables against values worked out by hand from DICOM PS3.3 C.11."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.layout import Layout
from dicom_node.tones import display_tones


def _layout(stored: int = 8, *, signed: bool = False, photometric: str = "MONOCHROME2") -> Layout:
    return Layout(16, 16, 1, 16, stored, stored - 1, signed, photometric, ExplicitVRLittleEndian)


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


ALL = np.arange(256, dtype=np.uint16).reshape(16, 16)


def test_linear_window_of_the_standard() -> None:
    tones = display_tones(ALL, _layout(), _header(WindowCenter="128", WindowWidth="101")).ravel()
    assert tones[77] == 0.0
    assert tones[128] == pytest.approx(0.505)
    assert tones[127] == pytest.approx(0.495)
    assert tones[178] == 1.0


def test_exact_linear_window() -> None:
    header = _header(WindowCenter="100", WindowWidth="100", VOILUTFunction="LINEAR_EXACT")
    tones = display_tones(ALL, _layout(), header).ravel()
    assert tones[50] == 0.0
    assert tones[100] == pytest.approx(0.5)
    assert tones[150] == 1.0


def test_sigmoid_window() -> None:
    header = _header(WindowCenter="100", WindowWidth="100", VOILUTFunction="SIGMOID")
    tones = display_tones(ALL, _layout(), header).ravel()
    assert tones[100] == pytest.approx(0.5)
    assert tones[125] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_window_applies_after_the_rescale() -> None:
    header = _header(RescaleSlope="2", RescaleIntercept="-100", WindowCenter="156", WindowWidth="512")
    header.VOILUTFunction = "LINEAR_EXACT"
    tones = display_tones(ALL, _layout(), header).ravel()
    assert tones[128] == pytest.approx(0.5)


def test_first_of_several_windows_is_used() -> None:
    several = display_tones(ALL, _layout(), _header(WindowCenter=["128", "10"], WindowWidth=["101", "5"]))
    one = display_tones(ALL, _layout(), _header(WindowCenter="128", WindowWidth="101"))
    assert np.array_equal(several, one)


@pytest.mark.parametrize(
    "window", [("128", "0"), ("128", "-5"), ("60000", "10"), ("-4000", "3"), ("128", "1e9"), (None, None)]
)
def test_absurd_or_absent_window_falls_back_to_the_images_own_range(
    window: tuple[str | None, str | None],
) -> None:
    samples = (ALL + 300).astype(np.uint16)
    header = _header(WindowCenter=window[0], WindowWidth=window[1])
    tones = display_tones(samples, _layout(12), header)
    assert tones.min() == 0.0
    assert tones.max() == 1.0
    assert np.all(np.diff(tones.ravel()) >= 0.0)
    assert 0.45 < np.median(tones) < 0.55


def test_full_range_eight_bit_image_without_window_is_shown_as_it_is() -> None:
    assert np.allclose(display_tones(ALL, _layout(), _header()).ravel(), np.arange(256) / 255.0)


def test_padding_does_not_move_the_fallback_range() -> None:
    samples = (ALL + 1000).astype(np.uint16)
    padded = samples.copy()
    padded[:8] = 0
    plain = display_tones(samples, _layout(12), _header())
    with_padding = display_tones(padded, _layout(12), _header(PixelPaddingValue=0))
    assert with_padding[:8].max() == 0.0
    assert with_padding[8:].min() < 0.1
    assert plain[8:].min() > 0.4


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", None), ("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "INVERSE")]
)
def test_inverse_is_turned_once(photometric: str, shape: str | None) -> None:
    header = _header() if shape is None else _header(PresentationLUTShape=shape)
    tones = display_tones(ALL, _layout(photometric=photometric), header).ravel()
    assert tones[0] == 1.0
    assert tones[255] == 0.0


def test_raw_detector_values_show_air_dark_by_their_intensity_relationship() -> None:
    raw = _header(
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LIN",
        PixelIntensityRelationshipSign=1,
    )
    tones = display_tones((ALL * 16).astype(np.uint16), _layout(12), raw).ravel()
    assert tones[0] > tones[50] > tones[255]
    assert tones[10] - tones[20] > tones[210] - tones[220], "logarithm: dark parts get more contrast"


def test_voi_lut_is_looked_up() -> None:
    item = _header(LUTDescriptor=[256, 0, 16], LUTData=[65535 - 257 * value for value in range(256)])
    tones = display_tones(ALL, _layout(), _header(VOILUTSequence=Sequence([item]))).ravel()
    assert tones[0] == 1.0
    assert tones[255] == 0.0
    assert tones[51] == pytest.approx(0.8)


def test_modality_lut_comes_before_the_window() -> None:
    item = _header(LUTDescriptor=[256, 0, 16], LUTData=[10 * value for value in range(256)], ModalityLUTType="US")
    header = _header(
        ModalityLUTSequence=Sequence([item]),
        WindowCenter="1000",
        WindowWidth="1000",
        VOILUTFunction="LINEAR_EXACT",
    )
    tones = display_tones(ALL, _layout(), header).ravel()
    assert tones[100] == pytest.approx(0.5)
    assert tones[50] == 0.0


@pytest.mark.parametrize("damage", [{"LUTDescriptor": [256, 0]}, {"LUTData": []}, {"LUTDescriptor": None}])
def test_damaged_lut_is_ignored(damage: dict[str, object]) -> None:
    item = _header(LUTDescriptor=[256, 0, 16], LUTData=list(range(256)))
    for keyword, value in damage.items():
        setattr(item, keyword, value)
    tones = display_tones(ALL, _layout(), _header(VOILUTSequence=Sequence([item])))
    assert tones.min() == 0.0
    assert tones.max() == 1.0


def test_constant_image_gives_finite_tones() -> None:
    tones = display_tones(np.full((16, 16), 700, np.uint16), _layout(12), _header())
    assert np.isfinite(tones).all()
    assert 0.0 <= tones.min() <= tones.max() <= 1.0
