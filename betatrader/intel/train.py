"""Fits the two models that ship, in numpy, from generated markets of one seed.

- `contract`: logistic regression with the market's own log odds as offset, so that it learns only
  how to correct the price; fitted by Newton's method (the optimum is unique, so training again
  gives the same weights).
- `spot`: ridge regression of the relative return over the horizon.

Both see public market data alone, and labels that anyone could see later. The skill in the
manifest is measured on other seeds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from betatrader.intel import examples
from betatrader.intel.repository import MANIFEST, Manifest, ModelEntry, Skill
from betatrader.model.errors import UsageError
from betatrader.model.features import SAMPLES, WIDTH

Array = npt.NDArray[np.float64]

CONTRACTS = 800
UNSEEN_CONTRACTS = 400
UNSEEN_SEED_SHIFT = 1_000_000
SPOT_SECONDS = 3_000.0
HORIZON_S = 10.0
LEARNED = SAMPLES * 3
"""The features with weights; the mid enters as offset, and the time left is not used."""
PENALTY_CONTRACT = 100.0
PENALTY_SPOT = 100.0
SMALLEST = 1e-4
VERSION = "1"

Progress = Callable[[str], None]


class Fit(NamedTuple):
    """A linear model of the first `LEARNED` features."""

    weights: Array
    bias: float
    data_sha256: str
    examples: int


def train(folder: Path, seed: int, progress: Progress) -> Manifest:
    """Train both models, measure them, and write them with their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    progress(f"contract model: watching {CONTRACTS} generated contracts")
    contract = fit_contract(seed)
    progress(f"spot model: watching {SPOT_SECONDS:.0f} s of a generated pair")
    spot = fit_spot(seed)
    progress(f"measuring on unseen seeds: {UNSEEN_CONTRACTS} contracts, {SPOT_SECONDS:.0f} s")
    unseen = seed + UNSEEN_SEED_SHIFT
    skills = contract_skill(contract, unseen), spot_skill(spot, unseen)
    entries = (
        _write(folder, "contract", "probability", contract, skill=skills[0], seed=seed),
        _write(folder, "spot", "return", spot, skill=skills[1], seed=seed),
    )
    manifest = Manifest(models=entries)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")
    return manifest


def fit_contract(seed: int) -> Fit:
    """Logistic regression on outcomes, with the market's log odds as offset."""
    features, mids, _, outcomes = _contracts(seed, CONTRACTS)
    inputs = np.c_[features[:, :LEARNED], np.ones(len(features))]
    offset = _log_odds(mids)
    found = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = _sigmoid(offset + inputs @ found)
        slope = inputs.T @ (chance - outcomes) + PENALTY_CONTRACT * found
        curve = (inputs.T * (chance * (1.0 - chance))) @ inputs
        step = np.linalg.solve(curve + PENALTY_CONTRACT * np.eye(len(found)), slope)
        found -= step
        if np.abs(step).max() < 1e-12:
            break
    return Fit(found[:-1], float(found[-1]), _digest(features, outcomes), len(features))


def fit_spot(seed: int) -> Fit:
    """Ridge regression on the relative return over the horizon."""
    features, returns = _spot(seed)
    inputs = np.c_[features[:, :LEARNED], np.ones(len(features))]
    curve = inputs.T @ inputs + PENALTY_SPOT * np.eye(inputs.shape[1])
    found = np.linalg.solve(curve, inputs.T @ returns)
    return Fit(found[:-1], float(found[-1]), _digest(features, returns), len(features))


def contract_skill(fit: Fit, seed: int) -> Skill:
    """Brier scores against the generator's true probability, its own noise added exactly.

    With truth p the expected Brier score of a forecast q is (q - p)² + p(1 - p); the ceiling is
    the latter alone. Averaged over the unseen contracts' examples.
    """
    features, mids, truths, _ = _contracts(seed, UNSEEN_CONTRACTS)
    noise = float((truths * (1.0 - truths)).mean())
    answers = answer_contract(fit, features, mids)
    return Skill(
        error=float(((answers - truths) ** 2).mean()) + noise,
        market=float(((mids - truths) ** 2).mean()) + noise,
        ceiling=noise,
        examples=len(features),
        seed=seed,
    )


def spot_skill(fit: Fit, seed: int) -> Skill:
    """Mean squared errors of the return, in basis points squared; the market says 0.

    The ceiling is that of the regression fitted on the unseen data itself.
    """
    features, returns = _spot(seed)
    basis_points = 1e8
    best = np.c_[features[:, :LEARNED], np.ones(len(features))]
    own = best @ np.linalg.lstsq(best, returns, rcond=None)[0]
    answers = features[:, :LEARNED] @ fit.weights + fit.bias
    return Skill(
        error=float(((answers - returns) ** 2).mean()) * basis_points,
        market=float((returns**2).mean()) * basis_points,
        ceiling=float(((own - returns) ** 2).mean()) * basis_points,
        examples=len(features),
        seed=seed,
    )


def answer_contract(fit: Fit, features: Array, mids: Array) -> Array:
    """What the contract model answers, in numpy: the reference for its ONNX form."""
    return _sigmoid(_log_odds(mids) + features[:, :LEARNED] @ fit.weights + fit.bias)


def _contracts(seed: int, count: int) -> tuple[Array, Array, Array, Array]:
    rows: list[examples.Example] = []
    outcomes: list[float] = []
    for loop in range(count):
        found, outcome = examples.contract(seed, loop)
        rows += found
        outcomes += [outcome] * len(found)
    features = np.array([row.features for row in rows])
    return (
        features,
        np.array([row.mid for row in rows]),
        np.array([row.truth for row in rows]),
        np.array(outcomes),
    )


def _spot(seed: int) -> tuple[Array, Array]:
    rows, returns = examples.spot(seed, SPOT_SECONDS, HORIZON_S)
    return np.array([row.features for row in rows]), np.array(returns)


def _log_odds(mids: Array) -> Array:
    kept = np.clip(mids, SMALLEST, 1.0 - SMALLEST)
    return np.asarray(np.log(kept / (1.0 - kept)))


def _sigmoid(values: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-values)))


def _digest(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array.round(9)).tobytes())
    return digest.hexdigest()


def _write(folder: Path, name: str, kind: str, fit: Fit, *, skill: Skill, seed: int) -> ModelEntry:
    data = _onnx(name, kind, fit)
    file = f"{name}-{VERSION}.onnx"
    (folder / file).write_bytes(data)
    gap = skill.market - skill.ceiling
    return ModelEntry(
        name=name,
        version=VERSION,
        kind=kind,
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        width=WIDTH,
        horizon_seconds=HORIZON_S,
        confidence=round(max(0.0, min(1.0, (skill.market - skill.error) / gap)), 3),
        trained_on=f"generated markets, seed {seed}, {fit.examples} examples",
        data_sha256=fit.data_sha256,
        skill=skill,
    )


def _onnx(name: str, kind: str, fit: Fit) -> bytes:
    """The model as an ONNX graph: features [n, WIDTH] to `answer` [n, 1]."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise UsageError(
            "training writes ONNX with the `onnx` package, which is not installed\n"
            "Install it: pip install 'betatrader[train]'"
        ) from error
    weights = np.zeros((WIDTH, 1), np.float32)
    weights[:LEARNED, 0] = fit.weights
    values = {"weights": weights, "bias": np.array([fit.bias], np.float32)}
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node(
            "Add", ["product", "bias"], ["sum" if kind == "probability" else "answer"]
        ),
    ]
    if kind == "probability":
        values |= {
            "column": np.array([LEARNED], np.int64),
            "low": np.array(SMALLEST, np.float32),
            "high": np.array(1.0 - SMALLEST, np.float32),
            "one": np.array(1.0, np.float32),
        }
        nodes += [
            helper.make_node("Gather", ["features", "column"], ["mid"], axis=1),
            helper.make_node("Clip", ["mid", "low", "high"], ["kept"]),
            helper.make_node("Sub", ["one", "kept"], ["rest"]),
            helper.make_node("Div", ["kept", "rest"], ["odds"]),
            helper.make_node("Log", ["odds"], ["log_odds"]),
            helper.make_node("Add", ["log_odds", "sum"], ["score"]),
            helper.make_node("Sigmoid", ["score"], ["answer"]),
        ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, key) for key, value in values.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="betatrader"
    )
    model.ir_version = 8
    checker.check_model(model)
    return bytes(model.SerializeToString())
