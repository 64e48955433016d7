"""`python -m retrieval.training`: train a network and write its weight file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from retrieval.errors import RetrievalError
from retrieval.training.build import averaged_network, build_network, embed
from retrieval.training.config import load_config
from retrieval.training.export import export
from retrieval.training.loop import Trainer
from retrieval.training.material import load_material


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="TOML of the run.")
@click.option("--manifest", type=click.Path(path_type=Path), required=True, help="CSV of images.")
@click.option("--run", "folder", type=click.Path(path_type=Path), required=True, help="Folder for checkpoints.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for prepared images; in the run's if absent.")
@click.option("--backbone-weights", type=click.Path(path_type=Path), help="Torchvision weights (safetensors).")
@click.option("--start", type=click.Path(path_type=Path), help="Checkpoint of an earlier stage to start from.")
@click.option("--export", "target", type=click.Path(path_type=Path), help="Folder for the finished weight file.")
def main(
    config_path: Path,
    manifest: Path,
    folder: Path,
    cache: Path | None,
    backbone_weights: Path | None,
    start: Path | None,
    target: Path | None,
) -> None:
    """Train a network; a run that was interrupted goes on where it stopped."""
    try:
        config = load_config(config_path)
        cache = cache or folder / "cache"
        material = load_material(manifest, cache, config)
        if config.hard_negatives and start is not None:
            material.seek_rivals(embed(averaged_network(config, start), material.images, config.size))
        network = build_network(config.network, backbone_weights)
        trainer = Trainer(config, network, material, folder, start)
        trainer.run_with_progress()
        if target is not None:
            earlier = start if config.earlier_share else None
            click.echo(export(config, trainer.checkpoint, manifest, cache, target, earlier))
    except RetrievalError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
