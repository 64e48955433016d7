"""Where a run computes."""

from __future__ import annotations

import torch

from retrieval.errors import ConfigInvalid


def find_device(name: str) -> torch.device:
    """The device of a name: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        ConfigInvalid: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigInvalid(f"device must be auto, cpu, cuda or cuda:1, not {name!r}.") from error
    there = device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())
    if not there:
        raise ConfigInvalid(f"There is no device {name!r} on this machine; leave device out, or set it to cpu.")
    return device
