"""What headers of radiographs say about the view."""

from __future__ import annotations

import pydicom.config
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.views import ViewKind, header_view

FRONTAL, LATERAL, OTHER, UNKNOWN = ViewKind.FRONTAL, ViewKind.LATERAL, ViewKind.OTHER, ViewKind.UNKNOWN


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    with pydicom.config.disable_value_validation():
        for keyword, value in {"Modality": "DX", **attributes}.items():
            setattr(header, keyword, value)
    return header


def _code(value: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
    return Sequence([item])


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({}, UNKNOWN),
        ({"ViewPosition": "PA"}, FRONTAL),
        ({"ViewPosition": "AP"}, FRONTAL),
        ({"ViewPosition": "ap "}, FRONTAL),
        ({"ViewPosition": "AP_UPRIGHT"}, FRONTAL),
        ({"ViewPosition": "LL"}, LATERAL),
        ({"ViewPosition": "RL"}, LATERAL),
        ({"ViewPosition": "LATERAL"}, LATERAL),
        ({"ViewPosition": "LLD"}, OTHER),
        ({"ViewPosition": "RAO"}, OTHER),
        ({"ViewPosition": ""}, UNKNOWN),
        ({"ViewCodeSequence": _code("272479007", "postero-anterior")}, FRONTAL),
        ({"ViewCodeSequence": _code("R-10236", "left lateral")}, LATERAL),
        ({"ViewCodeSequence": _code("x", "Left lateral")}, LATERAL),
        ({"ViewCodeSequence": _code("x", "left anterior oblique")}, OTHER),
        ({"PatientOrientation": ["L", "F"]}, FRONTAL),
        ({"PatientOrientation": ["A", "F"]}, LATERAL),
        ({"PatientOrientation": ["P", "FR"]}, LATERAL),
        ({"PatientOrientation": ["L", "P"]}, UNKNOWN),
        ({"SeriesDescription": "Thorax p.a."}, FRONTAL),
        ({"SeriesDescription": "W Chest Lat."}, LATERAL),
        ({"SeriesDescription": "Chest PA and lateral"}, UNKNOWN),
        ({"SeriesDescription": "Lateral decubitus"}, OTHER),
        ({"SeriesDescription": "Spatial capture"}, UNKNOWN),
        ({"SeriesDescription": "PA", "ProtocolName": "lateral"}, UNKNOWN),
        ({"ViewPosition": "PA", "SeriesDescription": "lateral"}, FRONTAL),
        ({"Modality": "CT", "ViewPosition": "PA"}, OTHER),
        ({"Modality": "MG"}, OTHER),
        ({"Modality": "SC", "ViewPosition": "PA"}, FRONTAL),
        ({"BodyPartExamined": "CHEST", "ViewPosition": "PA"}, FRONTAL),
        ({"BodyPartExamined": "PORT CHEST"}, UNKNOWN),
        ({"BodyPartExamined": "HAND", "ViewPosition": "PA"}, OTHER),
        ({"BodyPartExamined": "LSPINE", "ViewPosition": "LL"}, OTHER),
        ({"BodyPartExamined": "CHESTABDOMEN", "ViewPosition": "AP"}, FRONTAL),
        ({"BodyPartExamined": "SOMETHING", "ViewPosition": "AP"}, FRONTAL),
        ({"AnatomicRegionSequence": _code("x", "Knee joint")}, OTHER),
    ],
)
def test_view_of_header(attributes: dict[str, object], kind: ViewKind) -> None:
    assert header_view(_header(**attributes)).kind is kind


def test_reason_does_not_quote_free_text() -> None:
    view = header_view(_header(SeriesDescription="Lateral of Miller, John"))
    assert view.kind is LATERAL
    assert "miller" not in view.reason.lower()
    strange = header_view(_header(Modality="DOE^JOHN"))
    assert strange.kind is OTHER
    assert "doe" not in strange.reason.lower()
