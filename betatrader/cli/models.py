"""`models list|train`: the model repository."""

from pathlib import Path
from typing import Any

import click
import msgspec

from betatrader.cli.output import Group, json_option, print_json, print_table
from betatrader.model.errors import UsageError


@click.group(cls=Group)
def models() -> None:
    """The models of intel: what each answers, and how good it is on data it never saw.

    Example: betatrader models list
    """


@models.command("list")
@click.option("--folder", default="", help="A folder of models. Default: the ones that ship.")
@json_option
def models_list(folder: str, as_json: bool) -> None:
    """Every model with its skill beside the market's own price and the best possible."""
    from betatrader.intel import repository

    manifest = repository.load(repository.folder(folder))
    if as_json:
        print_json(manifest)
        return
    _print(manifest)


@models.command("train")
@click.option("--seed", default=7, show_default=True, help="Of the generated markets.")
@click.option("--output", type=Path, required=True, help="The folder to write to.")
@json_option
def models_train(seed: int, output: Path, as_json: bool) -> None:
    """Train the models that ship, in numpy, on generated markets (about 20 s).

    Example: betatrader models train --seed 7 --output models
    """
    try:
        import onnx  # noqa: F401  asked for before the work, not after it
    except ImportError as error:
        raise UsageError(
            "training writes ONNX with the `onnx` package, which is not installed\n"
            "Install it: pip install 'betatrader[train]'"
        ) from error
    from betatrader.intel.train import train

    manifest = train(output, seed, lambda text: click.echo(text, err=True))
    if as_json:
        print_json(manifest)
    else:
        _print(manifest)


def _print(manifest: Any) -> None:
    rows = []
    for model in manifest.models:
        skill = msgspec.structs.asdict(model.skill)
        gain = 100.0 * (1.0 - skill["error"] / skill["market"])
        most = 100.0 * (1.0 - skill["ceiling"] / skill["market"])
        rows.append(
            (
                f"{model.name}-{model.version}",
                model.kind,
                f"{skill['error']:.5f}",
                f"{skill['market']:.5f}",
                f"{gain:.2f}%",
                f"{most:.2f}%",
                model.trained_on,
            )
        )
    heads = ("model", "answers", "error", "market", "gain", "most possible", "trained on")
    print_table(heads, rows, "no models")
