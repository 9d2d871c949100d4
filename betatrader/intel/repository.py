"""A folder of models: `manifest.json` names each file, its digest, what it takes and its skill."""

import hashlib
from importlib.resources import files
from pathlib import Path

import msgspec

from betatrader.model.errors import UsageError
from betatrader.model.features import WIDTH

MANIFEST = "manifest.json"


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is on seeds that it never saw, beside the market and the best possible.

    `error` is the mean squared error (for probabilities: the Brier score) of the model, `market`
    that of the market's own price, `ceiling` that of a forecaster who knows the generator.
    """

    error: float
    market: float
    ceiling: float
    examples: int
    seed: int


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `kind` is "probability" or "return"; `width` is the number of features."""

    name: str
    version: str
    kind: str
    file: str
    sha256: str
    width: int
    horizon_seconds: float
    confidence: float
    trained_on: str
    data_sha256: str
    skill: Skill


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All models of a folder."""

    schema: int = 1
    models: tuple[ModelEntry, ...]


def shipped() -> Path:
    """The folder of the models that ship."""
    return Path(str(files("betatrader.intel").joinpath("models")))


def folder(configured: str) -> Path:
    """The configured folder, or the one that ships where that is ""."""
    return Path(configured) if configured else shipped()


def load(path: Path) -> Manifest:
    """Read and check a manifest and its files; raises UsageError with the first thing wrong."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise UsageError(
            f"no models in {path}: {error.strerror}\nMake some with `betatrader models train`."
        ) from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path / MANIFEST}: {error}\nTrain the models again.") from error
    for entry in manifest.models:
        _check(path, entry)
    return manifest


def _check(path: Path, entry: ModelEntry) -> None:
    try:
        data = (path / entry.file).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path / entry.file}: {error.strerror}\nTrain the models again."
        ) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise UsageError(
            f"{path / entry.file} is not the file that its manifest names (sha256 differs)\n"
            "Put the right file back, or train the models again."
        )
    if entry.width != WIDTH:
        raise UsageError(
            f"model {entry.name} takes {entry.width} features, and trading sends {WIDTH}\n"
            "Train the models again with this version."
        )
