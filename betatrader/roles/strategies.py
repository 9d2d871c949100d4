"""Finds strategies: those that ship by name, a user's own by the path of its file."""

import importlib.util
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from betatrader.config import Risk, StrategyEntry, units
from betatrader.config.reader import did_you_mean
from betatrader.engine.holdings import UNKNOWN
from betatrader.engine.proposal import GUARD, OPERATOR, STOP
from betatrader.engine.strategy import Strategy
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.limits import Limits
from betatrader.strategies.basket import Basket
from betatrader.strategies.forecast_edge import ForecastEdge
from betatrader.strategies.market_maker import MarketMaker
from betatrader.strategies.parity import Parity

SHIPPED: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (ForecastEdge, MarketMaker, Parity, Basket)
}
USUAL = (ForecastEdge.name, MarketMaker.name)
"""Those that run where none is configured."""


RESERVED = frozenset({OPERATOR, STOP, GUARD, UNKNOWN})


def load_all(entries: tuple[StrategyEntry, ...]) -> list[Strategy]:
    """The configured strategies; the usual two where none is configured.

    Raises UsageError for a file that cannot be used, ConfigurationError for wrong parameters.
    """
    chosen = entries or tuple(StrategyEntry(name=name) for name in USUAL)
    strategies = [load(entry.name, entry.parameters) for entry in chosen]
    names = [strategy.name for strategy in strategies]
    for name in names:
        if name in RESERVED:
            raise UsageError(
                f"a strategy may not be named {name!r}: that is the engine's own\n"
                "Give its class another `name`."
            )
        if names.count(name) > 1:
            raise UsageError(
                f"two strategies are named {name!r}\nGive each class a `name` of its own."
            )
    return strategies


def limits_of(risk: Risk, entries: tuple[StrategyEntry, ...], strategies: list[Strategy]) -> Limits:
    """The limits in force: those of [risk], and where each of `load_all`'s strategies may trade,
    and with which stops."""
    named = [(strategy.name, entry) for entry, strategy in zip(entries, strategies, strict=False)]
    return msgspec.structs.replace(
        risk.limits(),
        venues={name: entry.venues for name, entry in named if entry.venues},
        stops={name: units(entry.stop_within) for name, entry in named if entry.stop_within},
    )


def described(
    entries: tuple[StrategyEntry, ...],
) -> tuple[tuple[str, dict[str, str | int | float | bool]], ...]:
    """The strategies that `load_all` gives, so that `load` can make them again."""
    chosen = entries or tuple(StrategyEntry(name=name) for name in USUAL)
    return tuple((entry.name, _plain(entry.parameters)) for entry in chosen)


def load(name: str, parameters: dict[str, Any]) -> Strategy:
    """One strategy by its name or `PATH[:CLASS]`."""
    kind = SHIPPED.get(name)
    if kind is None:
        kind = _from_file(name)
    return _made(kind, name, parameters)


def _made(kind: type[Strategy], name: str, parameters: dict[str, Any]) -> Strategy:
    shape = kind.parameters_type
    if shape is None and parameters:
        raise ConfigurationError([f"strategies: {name} takes no parameters"])
    if kind.name == Strategy.name:  # a class that names itself not is named by its class
        kind.name = kind.__name__
    try:
        if shape is None:
            return kind()
        return kind(msgspec.convert(_plain(parameters), shape))  # type: ignore[call-arg]
    except msgspec.ValidationError as error:
        raise ConfigurationError([f"strategies: {name}: {error}"]) from error
    except Exception as error:  # a user's own code may raise anything
        raise UsageError(
            f"strategy {name}: {kind.__name__}() failed: {error!r}\nMend its __init__."
        ) from error


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Decimals of the configuration as the floats that statistics use."""
    return {
        key: value if isinstance(value, str | int | bool) else float(value)
        for key, value in parameters.items()
    }


def _from_file(name: str) -> type[Strategy]:
    head, colon, tail = name.rpartition(":")
    path_text, wanted = (head, tail) if colon and tail.isidentifier() else (name, "")
    path = Path(path_text)
    if path.suffix != ".py":
        raise UsageError(
            f"no strategy is named {name!r}{did_you_mean(name, list(SHIPPED))}\n"
            f"Shipped: {', '.join(SHIPPED)}; or give the path of a .py file, with :CLASS if needed."
        )
    if not path.is_file():
        raise UsageError(f"strategy file {path} does not exist\nCheck the path.")
    module = _module(path)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
    ]
    own = [value for value in found if value.__module__ == module.__name__]
    named = [value for value in own if not wanted or value.__name__ == wanted]
    if len(named) == 1:
        return named[0]
    what = f"a class {wanted}" if wanted else "exactly one subclass of Strategy"
    raise UsageError(
        f"{path} has not {what} (it has {[value.__name__ for value in own]})\n"
        "Derive one class from betatrader.engine.strategy.Strategy, or name it as PATH:CLASS."
    )


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"user_strategy_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(
            f"{path} line {error.lineno}: {error.msg}\nMend the strategy file and try again."
        ) from error
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise UsageError(
            f"{path} line {line}: {error!r}\nMend the strategy file and try again."
        ) from error
    return module
