"""The sender against DCMTK's storescp, and against peers that abort, refuse and come back."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import DigitalXRayImageStorageForPresentation

from dicom_node import wrap
from dicom_node.sender import PeerRefused, SendResult, send
from tests import peers
from tests.ports import free_port


def _image(number: int) -> Dataset:
    pixels = np.random.default_rng(number).integers(0, 4096, (64, 64), dtype=np.uint16)
    return wrap.digital_xray(
        pixels,
        patient=wrap.PatientHeader(patient_id=f"P{number}"),
        study=wrap.StudyHeader(taken=datetime.datetime(2024, 1, 1), instance_uid=wrap.uid_from("sender", number)),
    )


def _files(folder: Path, count: int) -> list[Path]:
    files = [folder / f"{number}.dcm" for number in range(count)]
    for number, file in enumerate(files):
        _image(number).save_as(file, enforce_file_format=True)
    return files


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A running storescp that keeps what it gets bit by bit: its port and its folder."""
    folder = tmp_path / "received"
    with peers.storescp(folder, "--aetitle", "PEER", "+xa") as port:
        yield port, folder


class _Peer:
    """A pynetdicom SCP that answers by a list of statuses; None aborts the association instead."""

    def __init__(self, port: int, answers: list[int | None]) -> None:
        self.received: list[str] = []
        self.associations = 0
        self._answers = answers
        entity = AE("PEER")
        entity.add_supported_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)]
        self._entity = entity
        entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)

    def _accepted(self, _event: evt.Event) -> None:
        self.associations += 1

    def _store(self, event: evt.Event) -> int:
        answer = self._answers.pop(0) if self._answers else 0
        if answer is None:
            event.assoc.abort()
            return 0xC000
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        return answer

    def close(self) -> None:
        self._entity.shutdown()


def test_files_arrive_at_storescp_unchanged(storescp: tuple[int, Path], tmp_path: Path) -> None:
    port, folder = storescp
    files = _files(tmp_path, 5)
    seen: list[SendResult] = []
    results = send(files, "127.0.0.1", port, "PEER", "TESTER", seen.append)
    assert [result.status for result in results] == [0] * 5
    assert seen == results
    assert all(result.stored and result.seconds > 0 for result in results)
    received = {pydicom.dcmread(file).SOPInstanceUID: file for file in folder.iterdir()}
    for file, result in zip(files, results, strict=True):
        sent = pydicom.dcmread(file)
        assert result.sop_instance_uid == sent.SOPInstanceUID
        assert pydicom.dcmread(received[result.sop_instance_uid]).PixelData == sent.PixelData


def test_data_sets_from_a_generator_are_sent(storescp: tuple[int, Path]) -> None:
    port, folder = storescp
    results = send((_image(number) for number in range(3)), "127.0.0.1", port, "PEER")
    assert [result.status for result in results] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 3


def test_unusual_sop_class_gets_an_association_of_its_own(storescp: tuple[int, Path], tmp_path: Path) -> None:
    port, folder = storescp
    unusual = _image(9)
    unusual.SOPClassUID = unusual.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    results = send([*_files(tmp_path, 1), unusual, _image(8)], "127.0.0.1", port, "PEER")
    assert [result.status for result in results] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 3


def test_failures_and_broken_files_do_not_stop_the_rest(tmp_path: Path) -> None:
    port = free_port()
    peer = _Peer(port, [0, 0xA700, 0xB000])
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no dicom")
    files = _files(tmp_path, 3)
    try:
        results = send([files[0], broken, tmp_path / "missing.dcm", *files[1:]], "127.0.0.1", port, "PEER")
    finally:
        peer.close()
    assert [result.status for result in results] == [0, None, None, 0xA700, 0xB000]
    assert [result.stored for result in results] == [True, False, False, False, True]
    assert "InvalidDicomError" in results[1].problem
    assert "FileNotFoundError" in results[2].problem


def test_aborted_association_is_reopened_and_the_object_sent_again(tmp_path: Path) -> None:
    port = free_port()
    peer = _Peer(port, [0, None, 0, 0])
    try:
        results = send(_files(tmp_path, 3), "127.0.0.1", port, "PEER")
    finally:
        peer.close()
    assert [result.status for result in results] == [0, 0, 0]
    assert peer.associations == 2
    assert peer.received == [result.sop_instance_uid for result in results]


def test_object_under_which_every_association_aborts_is_given_up_alone(tmp_path: Path) -> None:
    port = free_port()
    peer = _Peer(port, [0, None, None, 0])
    try:
        results = send(_files(tmp_path, 3), "127.0.0.1", port, "PEER", attempts=2)
    finally:
        peer.close()
    assert [result.status for result in results] == [0, None, 0]
    assert "aborted" in results[1].problem


def test_peer_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    first = _Peer(port, [])
    second: list[_Peer] = []

    def restart(_result: SendResult) -> None:
        if not timers:
            first.close()
            timers.append(threading.Timer(1.0, lambda: second.append(_Peer(port, []))))
            timers[0].start()

    timers: list[threading.Timer] = []
    try:
        results = send(_files(tmp_path, 2), "127.0.0.1", port, "PEER", on_progress=restart, patience=15)
    finally:
        for timer in timers:
            timer.join()
        for peer in second:
            peer.close()
    assert [result.status for result in results] == [0, 0]
    assert len(second[0].received) == 1


def test_unsupported_class_is_reported_and_the_rest_sent(tmp_path: Path) -> None:
    port = free_port()
    peer = _Peer(port, [])
    other = _image(7)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    try:
        results = send([other, _image(8)], "127.0.0.1", port, "PEER")
    finally:
        peer.close()
    assert [result.status for result in results] == [None, 0]
    assert "does not accept" in results[0].problem


def test_unreachable_peer_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(PeerRefused, match="could not be opened"):
        send(_files(tmp_path, 1), "127.0.0.1", free_port(), "PEER", patience=30)
