"""`lungprint train` as its user meets it: stopped, killed, gone on with, and asked for margins."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torchvision import models

from archive.database import Database
from archive.files import ImageFiles
from cli.main import lungprint
from cli.outcome import ExitCode
from config.paths import DataDir
from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray
from retrieval.calibration import Calibration, calibration_beside
from retrieval.encoder import Encoder
from retrieval.errors import ConfigInvalid, ManifestInvalid
from retrieval.preprocess import prepare
from retrieval.training.config import GroupConfig, TrainingConfig
from retrieval.training.config_file import dump_config, load_config
from retrieval.training.material import PHANTOM
from retrieval.training.shipped import find_config, shipped_configs
from retrieval.weights import find_weights, read_card
from tests.filed import file_image
from tests.toys import toy_config, toy_images, toy_manifest

LONG = 5000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name images and a cache for all tests."""
    folder = tmp_path_factory.mktemp("toys")
    return ["--data", str(toy_manifest(folder)), "--cache", str(folder / "cache")]


def train(*arguments: object) -> tuple[int, str]:
    """Run the command in this process; its exit code and what it printed."""
    done = CliRunner().invoke(lungprint, ["train", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.fixture
def begun(data: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A long run of its own process, which has written its first checkpoint."""
    config = toy_config(tmp_path, steps=LONG, save_every=2, validate_every=0)
    command = [sys.executable, "-m", "cli.main", "train", str(config), *data, "--run", str(tmp_path / "run")]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 240
        while not (tmp_path / "run" / "checkpoint.safetensors").exists():
            assert process.poll() is None and time.monotonic() < until, "the run does not begin"
            time.sleep(0.02)
        yield process
        process.kill()


def steps_done(folder: Path) -> int:
    with (folder / "curve.csv").open(encoding="utf-8") as stream:
        return int(list(csv.DictReader(stream))[-1]["step"])


def test_killed_run_ends_with_exactly_the_weights_of_one_that_was_not(
    begun: subprocess.Popen[str], data: list[str], tmp_path: Path
) -> None:
    """The killed process runs the very configuration of the uninterrupted run: its steps are cut in both afterwards."""
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()
    assert begun.returncode == -signal.SIGKILL
    reached = steps_done(tmp_path / "run")
    assert reached < LONG
    run_for(tmp_path / "run", data, reached + 3)
    run_for(tmp_path / "whole", data, reached + 3)
    one, other = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("run", "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def run_for(folder: Path, data: list[str], steps: int) -> None:
    """Take the run to so many steps, in this process."""
    from retrieval.training.config_file import load_config
    from retrieval.training.run import Sources, open_run

    trainer = open_run(load_config(folder.parent / "toy.toml"), Sources(Path(data[1]), Path(data[3])), folder)
    list(trainer.run(steps - trainer.step))
    assert trainer.step == steps


def test_stopped_run_is_saved_and_says_how_to_go_on(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    begun.send_signal(signal.SIGTERM)
    _, said = begun.communicate(timeout=120)
    assert begun.returncode == ExitCode.NOTHING
    assert f"Stopped after step {steps_done(tmp_path / 'run')} of {LONG}. The same command goes on" in said
    assert "Traceback" not in said


def test_training_ends_with_figures_as_json_and_starts_no_step_twice(data: list[str], tmp_path: Path) -> None:
    config = toy_config(tmp_path, steps=4, validate_every=4)
    for _ in range(2):
        code, output = train(config, *data, "--run", tmp_path / "run", "--json")
        assert code == ExitCode.OK
        found = json.loads(output[output.index("{") :])
        assert found["steps"] == 4
        assert found["validation"]["dataset"] == "mean"
    sessions = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [session["from_step"] for session in sessions] == [0, 4]


def test_an_export_without_a_trunk_for_the_regional_network_says_what_to_give(data: list[str], tmp_path: Path) -> None:
    config = toy_config(tmp_path, steps=2, validate_every=0, more="[regional]\ndim = 8")
    with pytest.raises(ConfigInvalid, match="--backbone-weights"):
        train(config, *data, "--run", tmp_path / "run", "--export", tmp_path / "weights")


@pytest.mark.timeout(900)
def test_the_stages_of_the_shipped_weights_run_one_after_the_other_and_are_exported(
    data: list[str], tmp_path: Path
) -> None:
    """The commands of docs/training.md with the shipped recipes, each on a few steps of small images."""
    imagenet = tmp_path / "mobilenet_v2.safetensors"
    torch.manual_seed(0)
    save_file(models.mobilenet_v2(weights=None).state_dict(), imagenet)
    started: list[object] = []
    for stage in ("mobilenet_v2", "mobilenet_v2_stage2", "mobilenet_v2_stage3", "mobilenet_v2_stage4"):
        config = tmp_path / f"{stage}.toml"
        config.write_text(dump_config(miniature(stage)), encoding="utf-8")
        options = [config, *data, "--run", tmp_path / stage, *started, "--json"]
        if stage in ("mobilenet_v2", "mobilenet_v2_stage4"):
            options += ["--backbone-weights", imagenet]
        if stage == "mobilenet_v2_stage4":
            options += ["--export", tmp_path / "weights"]
        code, output = train(*options)
        assert code == ExitCode.OK
        started = ["--start", tmp_path / stage / "checkpoint.safetensors"]
    weights = Path(json.loads(output[output.index("{") :])["exported"])
    found, shipped = read_card(weights), read_card(find_weights("default"))
    assert (found.name, found.dim, found.bits) == (shipped.name, shipped.dim, shipped.bits)
    assert found.regional is not None and shipped.regional is not None
    assert replace(found.regional, size=shipped.regional.size) == shipped.regional
    # A verification head may come on top, where it helps.
    assert shapes(weights).items() >= shapes(find_weights("default")).items()
    encoder = Encoder.load(weights, "cpu", "fp32")
    encoded = encoder.encode(np.stack([prepare(toy_images(1, seed=5)[0, 0] / np.float32(255))]))
    assert np.isclose(np.linalg.norm(encoded.embedding[0]), 1, atol=1e-5)
    assert Calibration.load(calibration_beside(weights)).model_id == encoder.model_id
    refitted_weights_keep_what_was_trained(data, tmp_path, weights, imagenet)


def refitted_weights_keep_what_was_trained(data: list[str], folder: Path, weights: Path, imagenet: Path) -> None:
    """`--refit` on the weights of the last stage, with regions of another size."""
    config = miniature("mobilenet_v2_stage4")
    assert config.regional is not None
    other = folder / "refit.toml"
    other.write_text(dump_config(replace(config, regional=replace(config.regional, regions=3))), encoding="utf-8")
    options = [other, *data, "--run", folder / "refit", "--refit", weights, "--backbone-weights", imagenet]
    code, output = train(*options, "--export", folder / "refitted", "--json")
    assert code == ExitCode.OK
    refitted = Path(json.loads(output[output.index("{") :])["exported"])
    before, after = load_file(weights), load_file(refitted)
    kept = [key for key in before if key.startswith(("network.", "atlas.", "gate."))]
    assert all(torch.equal(before[key], after[key]) for key in kept)
    regional = read_card(refitted).regional
    assert regional is not None and regional.regions == 3
    assert after["regional.identity.weight"].shape != before["regional.identity.weight"].shape
    assert Calibration.load(calibration_beside(refitted)).model_id == Encoder.load(refitted, "cpu", "fp32").model_id


def test_a_refit_of_another_network_says_which_configuration_to_take(data: list[str], tmp_path: Path) -> None:
    config = toy_config(tmp_path, steps=2, more="[regional]\ndim = 8")
    with pytest.raises(ConfigInvalid, match="not the network of default"):
        train(config, *data, "--run", tmp_path / "run", "--refit", "default", "--export", tmp_path / "weights")


def test_a_refit_needs_a_folder_for_its_weights(data: list[str], tmp_path: Path) -> None:
    code, output = train("mobilenet_v2_stage4", *data, "--run", tmp_path / "run", "--refit", "default")
    assert code == ExitCode.USAGE
    assert "--refit needs --export" in output


def shapes(weights: Path) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in load_file(weights).items()}


def miniature(name: str) -> TrainingConfig:
    """A shipped recipe on two steps of toy images and phantoms."""
    config = load_config(find_config(name))
    groups = (GroupConfig(("toy",), 3, 1.0), *(GroupConfig((PHANTOM,), 2, 1.0) for _ in range(bool(config.phantoms))))
    return replace(
        config,
        groups=groups,
        size=96,
        network_size=96,
        steps=2,
        warmup=1,
        phantoms=min(config.phantoms, 2),
        seed=1,
        validate_every=2,
        device="cpu",
        threads=1,
        regional=config.regional and replace(config.regional, size=64),
    )


def test_sweep_names_the_margin_with_the_highest_auc(data: list[str], tmp_path: Path) -> None:
    config = toy_config(tmp_path, losses='identity = "contrastive"')
    options = [config, *data, "--run", tmp_path / "run", "--sweep-margin", "0.4:0.8:0.4", "--sweep-steps", "2"]
    code, output = train(*options, "--json")
    assert code == ExitCode.OK
    found = json.loads(output[output.index("{") :])
    with (tmp_path / "run" / "sweep.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["margin"]) for row in rows] == [0.4, 0.8]
    assert found["best"]["auc"] == max(result["auc"] for result in found["margins"])
    assert train(*options, "--json")[1].endswith(output[output.index("{") :])


def test_help_lists_the_configurations_that_come_with_lungprint() -> None:
    assert all(name in train("--help")[1] for name in shipped_configs())


@pytest.fixture
def archive(folder: DataDir, database: Database) -> DataDir:
    """A system with two images each of 12 patients."""
    files = ImageFiles(folder)
    files.prepare()
    with database.write() as session:
        for person, pictures in enumerate(toy_images(12)):
            for picture in pictures:
                image = file_image(session, f"SECRET{person}")
                header = PatientHeader(patient_id=f"SECRET{person}", name="Secret^Name")
                wrapped = digital_xray(picture, patient=header, study=StudyHeader(taken=datetime(2024, 1, 1)))
                wrapped.save_as(files.path(image.file_digest), enforce_file_format=True)
    return folder


def test_archive_is_learned_from_once_made_a_manifest_that_names_nobody(archive: DataDir, tmp_path: Path) -> None:
    config = toy_config(tmp_path, steps=2, validate_every=0, patients=2)
    config.write_text(config.read_text().replace('"toy"]', '"site"]'), encoding="utf-8")
    run = tmp_path / "run"
    options = [config, "--from-archive", "--data-dir", archive.root, "--run", run]
    assert train(*options)[0] == ExitCode.OK
    made = (run / "data" / "manifest.csv").read_bytes()
    assert made.count(b"\n") == 25
    assert train(*options)[0] == ExitCode.OK
    assert (run / "data" / "manifest.csv").read_bytes() == made
    written = [path for path in run.rglob("*") if path.is_file()]
    assert all(b"SECRET" not in path.read_bytes().upper() for path in written)
    assert not any("SECRET" in str(path.relative_to(run)).upper() for path in written)


def test_images_must_be_named_in_one_way(data: list[str], tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    for chosen in ([], [*data, "--from-archive"]):
        code, output = train(config, *chosen, "--run", tmp_path / "run")
        assert code == ExitCode.USAGE
        assert "--data or with --from-archive" in output


def test_unknown_configuration_or_manifest_is_an_error_that_says_so(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no training configuration 'nothing'"):
        train("nothing", *data, "--run", tmp_path / "run")
    with pytest.raises(ManifestInvalid, match="There is no manifest"):
        train(toy_config(tmp_path), "--data", tmp_path / "none.csv", "--run", tmp_path / "run")
