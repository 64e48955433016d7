"""Programs of other makers as peers: who is let in, over TLS and without; images that a PACS moves; commitment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom.uid import CTImageStorage
from sqlalchemy import select

from archive import commitments
from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from config.paths import DataDir
from config.settings import load_settings
from dicom_node.commitment import deliver_by_call
from tests.dicom_node.certificates import Authority
from tests.dicom_node.pacs import TITLE, dcmqrscp, orthanc
from tests.dicom_node.sending import Sender, listening
from tests.listening import radiograph, save
from tests.peers import dcmtk
from tests.ports import free_port


def run(program: str, *arguments: str) -> tuple[bool, str]:
    """Whether one of DCMTK's programs succeeded, and what it said."""
    done = subprocess.run([dcmtk(program), *arguments], capture_output=True, text=True, check=False, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def stored(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Instance.sop_instance_uid)))


def secured(authority: Authority, name: str, trusted: Path) -> list[str]:
    """DCMTK's options for TLS 1.2 and later with a certificate of its own."""
    certificate, key = authority.issue(name)
    return ["+tls", str(key), str(certificate), "+cf", str(trusted), "--profile-bcp195-nd"]


def test_echoscu_and_storescu_over_tls(folder: DataDir, database: Database, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "hospital"), Authority(tmp_path / "elsewhere")
    peers = [{"ae_title": "PACS1", "address": "127.0.0.1", "tls": True, "certificate_name": "pacs.example"}]
    with listening(
        folder, database, authority.options("lungprint.example", free_port()), host="127.0.0.1", peers=peers
    ) as sender:
        to_tls = ["-aet", "PACS1", "-aec", "LUNGPRINT", "127.0.0.1", str(sender.tls_port)]
        ours = secured(authority, "pacs.example", authority.file)
        assert run("echoscu", *ours, *to_tls)[0]
        # Large enough for many PDUs and TLS records.
        image = radiograph(1, side=1024)
        files = [str(save(image, tmp_path / "1.dcm")), str(save(radiograph(2), tmp_path / "2.dcm"))]
        assert run("storescu", *ours, "-pdu", "131072", *to_tls, *files)[0]
        assert stored(database) == {str(image.SOPInstanceUID), str(radiograph(2).SOPInstanceUID)}
        refused: dict[str, tuple[list[str], list[str], str]] = {
            "of another authority": (secured(stranger, "pacs.example", authority.file), to_tls, ""),
            "that does not trust ours": (secured(authority, "pacs.example", stranger.file), to_tls, "certificate"),
            "with another name": (secured(authority, "ward.example", authority.file), to_tls, "No Reason"),
            "without TLS": ([], [*to_tls[:-1], str(sender.port)], "No Reason"),
            "with another AE title": (ours, ["-aet", "WARD", *to_tls[2:]], "Calling AE Title Not Recognized"),
            "that calls another": (ours, ["-aec", "OTHER", *to_tls[:2], *to_tls[4:]], "Called AE Title Not Recogni"),
        }
        for who, (options, peer, said) in refused.items():
            worked, text = run("echoscu", *options, *peer)
            assert not worked and said in text, f"a peer {who}: {text}"


def test_a_known_title_at_another_address_is_not_known(folder: DataDir, database: Database) -> None:
    peers = [{"ae_title": "PACS1", "address": "192.0.2.0/24"}]
    with listening(folder, database, host="127.0.0.1", peers=peers) as sender:
        worked, text = run("echoscu", "-aet", "PACS1", "-aec", "LUNGPRINT", "127.0.0.1", str(sender.port))
        assert not worked and "Calling AE Title Not Recognized" in text


def test_a_peer_may_do_what_it_is_listed_for(folder: DataDir, database: Database, tmp_path: Path) -> None:
    peers = [
        {"ae_title": "MONITOR", "address": "127.0.0.1", "may": ["echo"]},
        {"ae_title": "XRAY", "address": "127.0.0.1", "may": ["store"]},
    ]
    file = str(save(radiograph(1), tmp_path / "1.dcm"))
    with listening(folder, database, host="127.0.0.1", peers=peers) as sender:

        def ask(program: str, title: str, *files: str) -> bool:
            return run(program, "-aet", title, "-aec", "LUNGPRINT", "127.0.0.1", str(sender.port), *files)[0]

        assert ask("echoscu", "MONITOR") and not ask("echoscu", "XRAY")
        assert not ask("storescu", "MONITOR", file) and stored(database) == set()
        assert ask("storescu", "XRAY", file) and len(stored(database)) == 1


def test_movescu_has_an_archive_send_to_us(folder: DataDir, database: Database, tmp_path: Path) -> None:
    here = free_port()
    images = [radiograph(number, StudyID="1", SeriesNumber=1) for number in range(3)]
    images.append(radiograph(9, StudyID="1", SeriesNumber=1, SOPClassUID=CTImageStorage, Modality="CT"))
    with (
        dcmqrscp(tmp_path / "pacs", images, here) as port,
        listening(folder, database, port=here),
    ):
        for number in (0, 1):
            keys = ["-k", "0008,0052=STUDY", "-k", f"0020,000D={images[number].StudyInstanceUID}"]
            destination = ["-aec", TITLE, "-aem", "LUNGPRINT", "127.0.0.1", str(port)]
            assert run("movescu", "-S", *keys, *destination)[0]
        assert stored(database) == {str(image.SOPInstanceUID) for image in images[:2]}


def test_orthanc_is_told_which_images_are_safe(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    assert sender.send(radiograph(1)) == 0
    wanted = [(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in map(radiograph, (1, 2))]
    with orthanc(tmp_path / "pacs", sender.port) as server:
        peers = [{"ae_title": TITLE, "address": "127.0.0.1", "port": server.port}]
        settings = load_settings(folder.root, environ={}, flags={"dicom": {"peers": peers}})
        for references, outcome in ((wanted[:1], "Success"), (wanted, "Failure")):
            named = [{"SOPClassUID": a, "SOPInstanceUID": b} for a, b in references]
            asked = server.ask("/modalities/lungprint/storage-commitment", {"DicomInstances": named})
            _wait_for(lambda: _due(database))
            assert deliver_by_call(database, ImageFiles(folder), settings, _due(database)[0])
            _wait_for(lambda at=asked["Path"]: server.ask(at)["Status"] != "Pending")
            found = server.ask(asked["Path"])
            assert found["Status"] == outcome
            assert [item["SOPInstanceUID"] for item in found["Success"]] == [wanted[0][1]]
            if outcome == "Failure":
                ((failed,),) = [found["Failures"]]
                assert failed["SOPInstanceUID"] == wanted[1][1]


def test_orthanc_forwards_and_asks_for_commitment_in_one_go(
    sender: Sender, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    with orthanc(tmp_path / "pacs", sender.port) as server:
        peers = [{"ae_title": TITLE, "address": "127.0.0.1", "port": server.port}]
        settings = load_settings(folder.root, environ={}, flags={"dicom": {"peers": peers}})
        number = server.upload(radiograph(1))
        body: dict[str, Any] = {"Resources": [number], "StorageCommitment": True, "Synchronous": False}
        job = server.ask("/modalities/lungprint/store", body)["ID"]
        _wait_for(lambda: _due(database))
        assert stored(database) == {str(radiograph(1).SOPInstanceUID)}
        assert deliver_by_call(database, ImageFiles(folder), settings, _due(database)[0])
        _wait_for(lambda: server.ask(f"/jobs/{job}")["State"] == "Success")


def _due(database: Database) -> list[int]:
    """Requests whose peer has left, which a worker would now see to."""
    with database.read() as session:
        return commitments.due(session, 10)


def _wait_for(done: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.1)
