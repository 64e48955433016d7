from __future__ import annotations

import threading
from pathlib import Path

import psutil
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from sqlalchemy import func, select

from archive.database import open_database
from archive.files import ImageFiles
from archive.models import Instance
from config.settings import load_settings
from tests.dicom_node.sending import Sender, encoded
from tests.listening import ListenerProcess, dataset_bytes, radiograph

CONTEXT = (str(DigitalXRayImageStorageForPresentation), str(ExplicitVRLittleEndian))
# A small image is collected in memory, a large one in a file.
SIDES = (16, 400)


class Stream(threading.Thread):
    """Sends images over one association until it breaks.

    Attributes:
        acknowledged: those that were answered with success.
        half: set when some were.
    """

    def __init__(self, sender: Sender, images: list[Dataset]) -> None:
        super().__init__(daemon=True)
        self._sender = sender
        self._images = images
        self.acknowledged: list[Dataset] = []
        self.half = threading.Event()

    def run(self) -> None:
        """Send."""
        with self._sender.association([CONTEXT]) as association:
            for image in self._images:
                if not association.is_established or "Status" not in (answer := association.send_c_store(image)):
                    break
                assert answer.Status == 0x0000
                self.acknowledged.append(image)
                if len(self.acknowledged) == 5:
                    self.half.set()


def kill_all(pid: int) -> None:
    """SIGKILL for a process and its children."""
    process = psutil.Process(pid)
    processes = [process, *process.children()]
    for one in processes:
        one.suspend()
    for one in processes:
        one.kill()
    psutil.wait_procs(processes[1:], 20)


def test_acknowledged_images_survive_a_kill_of_every_process(tmp_path: Path) -> None:
    listener = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_PROCESSES": "2"})
    sent: list[Dataset] = []
    acknowledged: list[Dataset] = []
    try:
        for attempt in range(2):
            listener.start()
            images = [radiograph(100 * attempt + number, side=SIDES[number % 2]) for number in range(100)]
            stream = Stream(Sender(listener.port), images)
            stream.start()
            assert stream.half.wait(60)
            kill_all(listener.pid)
            listener.kill()
            stream.join(60)
            assert not stream.is_alive()
            sent += images
            acknowledged += stream.acknowledged
        listener.start()
        assert not any(listener.folder.incoming.iterdir())
        settings = load_settings(listener.folder.root)
        database = open_database(settings, listener.folder)
        with database.read() as session:
            rows = session.execute(select(Instance.sop_instance_uid, Instance.file_digest)).all()
        digests = {row.sop_instance_uid: row.file_digest for row in rows}
        files = ImageFiles(listener.folder)
        for image in acknowledged:
            assert dataset_bytes(files.path(digests[str(image.SOPInstanceUID)])) == encoded(image)
        sender = Sender(listener.port)
        assert {sender.send(image) for image in sent[:4]} == {0x0000}
        with database.read() as session:
            count = session.scalar(select(func.count()).select_from(Instance))
        database.close()
        assert count == len(digests), "what was acknowledged before is entered once"
        assert listener.stop() == 0
    finally:
        listener.close()
