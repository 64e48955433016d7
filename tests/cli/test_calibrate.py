"""`lungprint calibrate` on the site's own archive: fitted when there is enough to fit on, else a clear refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from archive.states import ImageState
from cli.main import lungprint
from cli.system import opened
from config.settings import load_settings
from retrieval.calibration import Calibration
from retrieval.weights.card import find_weights, model_id_of
from tests.people import Crowd
from workers.index_owner import network_at_work

PATIENTS, IMAGES = 40, 3


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(lungprint, ["calibrate", *map(str, arguments)])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system that needs 20 patients with priors and has 40, encoded by the shipped network as it were."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "lungprint.toml").write_text("[calibration]\nmin_patients = 20\n", encoding="utf-8")
    crowd, model = Crowd(spread=0.9), model_id_of(find_weights("default"))
    with opened(folder, create=True) as system, system.database.write() as session:
        for person in range(PATIENTS):
            for _ in range(IMAGES):
                crowd.take(session, person, state=ImageState.MATCHED, model_id=model)
    return folder


def test_a_site_gets_a_calibration_of_its_own(archive: Path, tmp_path: Path) -> None:
    result = calibrate("--from-archive", "--data-dir", archive, "--report", tmp_path / "pictures", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    made = Calibration.load(archive / "calibration.json")
    assert made.fitted_on["adults"]["patients_with_pairs"] == PATIENTS
    assert said["expected_calibration_error"] == made.held_out["expected_calibration_error"] < 0.1
    assert all(Path(picture).stat().st_size > 1000 for picture in said["pictures"])
    assert "P1" not in (archive / "calibration.json").read_text(encoding="utf-8")


def test_the_option_puts_it_to_work(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.json"
    assert calibrate("--from-archive", "--data-dir", archive, "-o", target).exit_code == 0
    (tmp_path / "lungprint.toml").write_text(f'[calibration]\nfile = "{target}"\n', encoding="utf-8")
    settings = load_settings(tmp_path, environ={})
    assert network_at_work(settings).comparer.calibration == Calibration.load(target)


def test_too_few_patients_are_refused_with_their_number(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGPRINT_CALIBRATION_MIN_PATIENTS", "200")
    result = calibrate("--from-archive", "--data-dir", archive)
    assert result.exit_code != 0
    assert f"has {PATIENTS} patients" in str(result.exception) and "200" in str(result.exception)


@pytest.mark.parametrize("arguments", [[], ["--from-archive", "--data", __file__]])
def test_one_source_must_be_named(arguments: list[str]) -> None:
    result = calibrate(*arguments)
    assert result.exit_code == 2 and "--from-archive" in result.output


@pytest.mark.parametrize(
    "rows",
    [
        ("a.png,covid,covid:30,val,,PA", "b.png,covid,covid:31,test,,PA"),
        ("a.png,kermany,kermany:IM-0001,val,,PA", "b.png,kermany,kermany:IM-0001,val,,PA"),
    ],
)
def test_patients_whose_numbers_cannot_be_trusted_are_no_strangers(tmp_path: Path, rows: tuple[str, str]) -> None:
    """One is a copy of a patient of another split; one number cannot be taken for one person: nobody is left."""
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["file,dataset,patient,split,finding,view", *rows]) + "\n", encoding="utf-8")
    result = calibrate("--data", manifest, "--split", "val")
    assert "no frontal image in its split 'val'" in f"{result.output} {result.exception}"


def test_patients_the_network_learned_from_cannot_be_chosen() -> None:
    assert calibrate("--data", __file__, "--split", "train").exit_code == 2
