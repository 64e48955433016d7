from __future__ import annotations

import pytest
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.connection import ReceivedData
from tests.dicom_node.sending import pdu


def test_received_values_are_those_of_the_pdu() -> None:
    primitive: P_DATA = ReceivedData(bytearray(pdu((3, b"abc"), (2, b"defg"))[6:])).to_primitive()
    assert [(cx, bytes(value)) for cx, value in primitive.presentation_data_value_list] == [
        (1, b"\x03abc"),
        (1, b"\x02defg"),
    ]


@pytest.mark.parametrize("body", [b"\x00", b"\x00\x00\x00\x01\x01\x02", b"\x00\x00\x00\x09\x01\x02", bytes(6)])
def test_impossible_lengths_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        ReceivedData(bytearray(body))
