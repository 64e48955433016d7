from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF

from dicom_node.quick_encoding import command_pdu, file_header, store_response

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34"])
@pytest.mark.parametrize("status", [0x0000, 0xA700])
def test_a_response_is_what_pynetdicom_would_send(instance: str, status: int) -> None:
    request = C_STORE()
    request.MessageID = 65535
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(DX), UID(instance)
    response = C_STORE()
    response.MessageIDBeingRespondedTo = 65535
    response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = UID(DX), UID(instance)
    response.Status = status
    message = C_STORE_RSP()
    message.primitive_to_message(response)
    (expected,) = message.encode_msg(3, 16384)
    assert command_pdu(3, store_response(request, status)) == P_DATA_TF(expected).encode()


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34", "no UID", "", "9" * 100_000])
def test_a_header_is_read_as_it_was_meant(instance: str) -> None:
    meta = dcmread(BytesIO(file_header(DX, instance, EXPLICIT))).file_meta
    assert meta.FileMetaInformationGroupLength == len(file_header(DX, instance, EXPLICIT)) - 144
    assert (meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) == (DX, EXPLICIT)
    assert meta.MediaStorageSOPInstanceUID == instance[:1024]
