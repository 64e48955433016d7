"""What a run folder keeps so that the run can be repeated: its configuration, and where and from what it was made."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from retrieval.errors import ConfigInvalid
from retrieval.training.config import TrainingConfig
from retrieval.training.config_file import dump_config, load_config

_PACKAGES = (
    "lungprint",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "kornia",
    "pytorch-metric-learning",
    "scikit-learn",
    "hnswlib",
)
# What may change between two parts of a run without changing what it learns.
_FREE = frozenset({"device", "threads", "save_every", "validate_every", "export", "start"})


def keep_config(config: TrainingConfig, folder: Path) -> None:
    """Write `config.toml`, or make sure that a run that is there already has the same configuration.

    Raises:
        ConfigInvalid: another run lives in the folder; the options that differ are named.
    """
    path = folder / "config.toml"
    if (folder / "checkpoint.safetensors").exists() and path.exists():
        ours, theirs = _flat(asdict(config)), _flat(asdict(load_config(path)))
        differing = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key) and key not in _FREE)
        if differing:
            raise ConfigInvalid(
                f"{folder} holds a run with another configuration ({', '.join(differing)}); name another folder, or "
                "delete this one."
            )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_config(config), encoding="utf-8")


def keep_environment(folder: Path, seed: int, step: int, sources: Mapping[str, Path | None]) -> None:
    """Add to `environment.json` in what surroundings the run starts, or goes on after `step` steps.

    Args:
        seed: of the run.
        sources: files that it is made from, by role; of each the SHA-256 is kept, not its name.
    """
    path = folder / "environment.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries.append(
        {
            "from_step": step,
            "seed": seed,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "packages": {name: _version(name) for name in _PACKAGES},
            "commit": _commit(),
            "sha256": {role: _digest(source) for role, source in sources.items() if source is not None},
        }
    )
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        values |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that the code is run from, with `+` if files were changed; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
