"""A whole system beside an Orthanc, set up as docs/pacs.md says: forwarding, commitment, and earlier images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from archive.database import Database
from archive.models import Commitment, Instance, PriorSearch
from archive.states import NotificationState, SearchState
from config.paths import data_dir
from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray, twelve_bit
from retrieval import phantom
from tests.dicom_node.pacs import TITLE, orthanc
from tests.peers import Orthanc
from tests.system.running import RunningSystem

ROOT = Path(__file__).parents[2]


def documented(dicom_port: int) -> dict[str, Any]:
    """Orthanc's configuration in the document, for this machine and without the script that forwards everything."""
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "pacs.md").read_text(), re.DOTALL)
    options: dict[str, Any] = json.loads(block.replace("lungprint.example", "127.0.0.1"))
    assert options["DicomModalities"]["lungprint"][2] == 11112
    options["DicomModalities"]["lungprint"][2] = dicom_port
    del options["LuaScripts"]
    return options


def chest(person: int, exam: int, days: int) -> Dataset:
    """An exam of a synthetic person, so many days ago."""
    someone = phantom.random_person(np.random.default_rng(person))
    tones = phantom.render(someone, phantom.random_exam(np.random.default_rng([person, exam])), 512)
    taken = datetime.now() - timedelta(days=days)
    return digital_xray(
        twelve_bit(tones), patient=PatientHeader(patient_id=f"P{person}"), study=StudyHeader(taken=taken)
    )


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[tuple[RunningSystem, Orthanc]]:
    """A running system and the Orthanc that it asks for priors."""
    system = RunningSystem(tmp_path / "data")
    system.root.mkdir()
    with orthanc(tmp_path / "pacs", system.dicom_port, **documented(system.dicom_port)) as server:
        peer = f'{{ ae_title = "{TITLE}", address = "127.0.0.1", port = {server.port} }}'
        (system.root / "lungprint.toml").write_text(
            f'[dicom]\npeers = [{peer}]\nhost = "127.0.0.1"\n[priors]\npeer = "{TITLE}"\n'
            "[workers]\nreconcile_seconds = 1\n"
        )
        try:
            system.start()
            yield system, server
        finally:
            system.close()


def test_a_new_patient_is_judged_by_the_priors_that_the_pacs_had(
    beside: tuple[RunningSystem, Orthanc], tmp_path: Path
) -> None:
    system, server = beside
    earlier = [chest(1, exam, days) for exam, days in ((1, 400), (2, 40))]
    for image in [*earlier, chest(2, 1, 40)]:
        server.upload(image)
    live = chest(1, 3, 0)
    number = server.upload(live)
    body = {"Resources": [number], "StorageCommitment": True, "Synchronous": False}
    job = server.ask("/modalities/lungprint/store", body)["ID"]
    database = Database(f"sqlite:///{data_dir(system.root).database}")

    def is_done() -> bool:
        with database.read() as session:
            return session.scalar(select(PriorSearch.state)) is SearchState.DONE

    system.wait_until_settled(3)
    system.wait_for(is_done, 240, "priors that were fetched and compared", pause=1.0)
    system.wait_for(lambda: _verdict(database, live) != "first_seen", 120, "a verdict with priors", pause=0.5)
    with database.read() as session:
        stored = set(session.scalars(select(Instance.sop_instance_uid)))
        assert stored == {str(image.SOPInstanceUID) for image in [*earlier, live]}
    # Orthanc's job ends when our report has come over an association of its own.
    system.wait_for(lambda: server.ask(f"/jobs/{job}")["State"] == "Success", 120, "a commitment report", pause=0.5)
    with database.read() as session:
        commitment = session.scalars(select(Commitment)).one()
        assert (commitment.state, commitment.failures) == (NotificationState.SENT, 0)
    database.close()


def _verdict(database: Database, image: Dataset) -> str:
    with database.read() as session:
        found = select(Instance.verdict).where(Instance.sop_instance_uid == str(image.SOPInstanceUID))
        return session.scalar(found) or ""
