"""Connecting a PACS as the README says: DCMTK's senders and an Orthanc that forwards, against a whole system."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray, twelve_bit
from retrieval import phantom
from tests.peers import dcmtk, orthanc
from tests.system.running import RunningSystem

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str, text: str = README) -> str:
    """The only code block in a language of a page, by default the README."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("pacs") / "data")
    running.root.mkdir()
    # Peers as the README lists them, with this machine's address.
    (running.root / "lungprint.toml").write_text('[dicom]\npeers = [{ ae_title = "PACS1", address = "127.0.0.1" }]\n')
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three synthetic chests in folders of their own."""
    place = tmp_path_factory.mktemp("studies")
    for number in range(3):
        rng = np.random.default_rng(number)
        tones = phantom.render(phantom.random_person(rng), phantom.random_exam(rng), 512)
        study = StudyHeader(taken=datetime(2024, 1, 1 + number))
        image = digital_xray(twelve_bit(tones), patient=PatientHeader(patient_id=f"P{number}"), study=study)
        (place / str(number)).mkdir()
        image.save_as(place / str(number) / "image.dcm", enforce_file_format=True)
    return place


def commands() -> list[list[str]]:
    """The README's DCMTK commands."""
    (found,) = (text for text in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if text.startswith("echoscu"))
    return [line.split() for line in found.splitlines()]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_dcmtk_sends_as_the_readme_says(command: list[str], system: RunningSystem, studies: Path) -> None:
    tool, *arguments = command
    given = {"lungprint.example": "127.0.0.1", "11112": str(system.dicom_port), "/path/to/studies": str(studies)}
    asked = [dcmtk(tool), *(given.get(argument, argument) for argument in arguments)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    if tool != "echoscu":
        system.wait_until_settled(3)


@pytest.mark.parametrize("page", ["README.md", "docs/pacs.md"])
def test_orthanc_forwards_as_the_documents_say(page: str, system: RunningSystem, tmp_path: Path) -> None:
    before = sum(system.ask("status")["images"].values())
    given = block("json", (ROOT / page).read_text())
    options = json.loads(given.replace("lungprint.example", "127.0.0.1").replace("11112", str(system.dicom_port)))
    (tmp_path / "forward.lua").write_text(block("lua"))
    rng = np.random.default_rng(len(page))
    tones = phantom.render(phantom.random_person(rng), phantom.random_exam(rng), 512)
    image = digital_xray(
        twelve_bit(tones), patient=PatientHeader(patient_id="P99"), study=StudyHeader(taken=datetime(2024, 2, 1))
    )
    with orthanc(tmp_path, **options) as server:
        server.upload(image)
        system.wait_until_settled(before + 1)


def test_a_pacs_that_is_not_listed_is_rejected(system: RunningSystem) -> None:
    command = [dcmtk("echoscu"), "-aet", "STRANGER", "-aec", "LUNGPRINT", "127.0.0.1", str(system.dicom_port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "Calling AE Title Not Recognized" in done.stderr
