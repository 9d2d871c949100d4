"""The way to live, rehearsed: simulated venues stand where the real ones would, over sockets."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from listening import overheard
from running import run, until, up, venue_ledger
from test_setup import served

from betatrader.model.money import SCALE
from betatrader.model.order import Side
from betatrader.model.secret import Secret
from betatrader.venues.binance.serve.running import OWNER
from betatrader.venues.polymarket.sign import Signer

BUYER = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side


class Buyer(Strategy):
    name = "buyer"
    last_ns = 0

    def on_quote(self, view, market):
        if view.now_ns < self.last_ns + {pause} or not market.ask:
            return None
        if not view.may_add_risk_in(market):
            return None
        self.last_ns = view.now_ns
        tick, lot = market.definition.tick, market.definition.lot
        price = market.ask + max(2, market.ask // 200 // tick) * tick
        quantity = 8 * SCALE * SCALE // price // lot * lot
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, quantity)
        return [Place(terms, "a rehearsal")]
"""


@contextmanager
def shown(name: str, folder: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A simulated venue in the place of the real one: what it told, and the tables for it."""
    with served(name, folder) as (told, more):
        more.pop("BETATRADER_PAPER__VENUES")
        yield told, more


def buyer(folder: Path) -> str:
    """A strategy that buys for 8 USD about once a second and a half, as long as risk lets it."""
    path = folder / "buyer.py"
    path.write_text(BUYER.replace("{pause}", "1_500_000_000"))
    return str(path)


def allow(stage: str, variables: dict[str, str]) -> None:
    """A person's override: days cannot be waited for here."""
    stated = run("live", "allow", stage, "--reason", "a rehearsal", **variables)
    assert stated.returncode == 0, stated.stderr


def status() -> dict:
    """What it says; between a trader's death and its next account there is nothing to say."""
    found: dict = json.loads(until(lambda: run("status", "--json").stdout, 15))
    return found


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("binance", {}),
        ("polymarket", {}),
        ("polymarket", {"BETATRADER_POLYMARKET__MARKETS": "[]"}),
    ],
    ids=["binance", "polymarket", "what-follows"],
)
def test_paper_trades_on_the_live_market_without_a_key(
    own_home: Path, tmp_path: Path, name: str, given: dict[str, str]
) -> None:
    """Its orders fill inside, against the book that the venue shows; the venue hears of none. One
    that names no market trades those that follow each other."""
    with shown(name, own_home.parent) as (told, more):
        more |= given
        keys = [one for one in more if one.endswith(("__KEY", "__SECRET", "__PRIVATE_KEY"))]
        public = {one: value for one, value in more.items() if one not in keys}
        public["BETATRADER_PAPER__MARKET"] = "live"
        with up("up", "--strategy", buyer(tmp_path), **public) as running:
            running.runtime()
            found = until(lambda: status() if status()["fills"] else None, 30)
            assert found["mode"] == "PAPER"
            assert all(m["instrument"].endswith(name.upper()) for m in found["markets"])
            code, report, errors = running.end()
        assert code == 0, errors
        assert all(report["invariants"].values())

        assert venue_ledger(told["link"], told.get("account", "us")).orders == {}


def told(kind: str) -> list[dict]:
    """What the audit has booked of one kind."""
    return [
        change
        for event in json.loads(run("events", "--json").stdout)
        if event["kind"] == "Step"
        for change in event["changes"]
        if change["kind"] == kind
    ]


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_shadow_signs_each_order_and_sends_none(own_home: Path, tmp_path: Path, name: str) -> None:
    """Every byte that the trader sends is read: no request of an order is among them."""
    with shown(name, own_home.parent) as (_, more), overheard(more) as (led, listeners):
        led["BETATRADER_MODE"] = "shadow"
        if name == "polymarket":
            led["BETATRADER_POLYMARKET__MARKETS"] = "[]"  # those that follow each other
        allow("shadow", led)
        with up("up", "--strategy", buyer(tmp_path), **led) as running:
            running.runtime()
            found = until(lambda: status() if status()["fills"] else None, 30)
            assert found["mode"] == "SHADOW"
            assert "SHADOW" in run("status").stdout
            code, report, errors = running.end()
        assert (code, report["mode"]) == (0, "SHADOW"), errors
        signed = [one["text"] for one in told("signed")]
        assert len(signed) == report["orders"] > 0
        digest = "sha256:" if name == "binance" else "0x"
        assert all(text.startswith(digest) and text.endswith(", not sent") for text in signed)
        sent = {variable: bytes(one.sent) for variable, one in listeners.items()}
    if name == "binance":
        assert sent.pop("BETATRADER_BINANCE__API") == b"", "orders go there, and nobody went there"
        assert b"GET /api/v3/depth" in sent["BETATRADER_BINANCE__REST"]
    else:
        assert b"GET /clob-markets/" in sent["BETATRADER_POLYMARKET__CLOB"]
    for order in (b"POST /order", b"DELETE /order", b"POST /api/v3", b"DELETE /api/v3"):
        assert order not in b"".join(sent.values())


def account_of(name: str, more: dict[str, str]) -> str:
    """Whose orders ours are in the venue's ledger."""
    if name == "binance":
        return OWNER
    return Signer(Secret(more["BETATRADER_POLYMARKET__PRIVATE_KEY"]), 137, 0, "").address


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_micro_trades_the_minimum_a_few_times_a_day_and_comes_back(
    own_home: Path, tmp_path: Path, name: str
) -> None:
    """Real orders over the venue's protocol; killed in between, it takes its account up again."""
    with shown(name, own_home.parent) as (told_by_venue, more):
        more["BETATRADER_MODE"] = "live"
        more["BETATRADER_LIVE__MICRO_ORDERS_A_DAY"] = "2"
        allow("micro", more)
        command = ("up", "--live", "--strategy", buyer(tmp_path))
        with up(*command, **more) as running:
            runtime = running.runtime()
            until(lambda: status()["denials"].get("daily_orders") and status()["fills"], 30)
            found = status()
            assert (found["mode"], found["orders"]) == ("LIVE", 2)
            assert "LIVE" in run("status").stdout
            os.kill(runtime.roles["trading"], signal.SIGKILL)
            until(lambda: status()["run"] != found["run"], 15)
            until(lambda: status()["denials"].get("daily_orders", 0) > 0, 30)
            assert status()["orders"] == 2
            assert status()["fills"] >= found["fills"]
            limits = json.loads(run("limits", "show", "--json").stdout)
            assert [one["used"] for one in limits if one["name"] == "micro_orders_a_day"] == ["2"]
            code, report, errors = running.end()
        assert (code, report["mode"]) == (0, "LIVE"), errors
        assert all(report["invariants"].values())
        placed = list(venue_ledger(told_by_venue["link"], account_of(name, more)).orders.values())
        assert len(placed) == 2
        assert all(terms.side is Side.BUY for terms in placed)
        if name == "binance":
            worth = [terms.price * terms.quantity // SCALE for terms in placed]
            assert all(5 * SCALE <= one <= 8 * SCALE for one in worth), "the venue's minimum is 5"
        else:
            assert [terms.quantity for terms in placed] == [5 * SCALE] * 2, "shares, its minimum"
    assert not (own_home / "journal").exists(), "paper's books are elsewhere"
    assert json.loads(run("journal", "verify", "--json").stdout)["run"] == report["run"]


def test_either_half_of_going_live_alone_trades_nothing(own_home: Path) -> None:
    tables = {"BETATRADER_BINANCE__SYMBOLS": '["BTCUSDT"]'}
    for command, more, said in (
        (("up",), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("up", "--live"), {}, 'says mode = "paper"'),
        (("--role", "trading"), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("--role", "trading", "--live"), {}, 'says mode = "paper"'),
        (("demo",), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("up", "--venue", "binance-sim"), {"BETATRADER_MODE": "shadow"}, "--venue is for"),
    ):
        refused = run(*command, **{**tables, **more})
        assert (refused.returncode, refused.stderr.count("\n")) == (6, 2), refused.stderr
        assert said in refused.stderr
    assert not (own_home / "live").exists()


def test_each_step_asks_for_the_record_of_the_one_before(own_home: Path) -> None:
    with shown("binance", own_home.parent) as (_, more):
        for mode, stage, flag in (("shadow", "shadow", ()), ("live", "micro", ("--live",))):
            refused = run("up", *flag, **more, BETATRADER_MODE=mode)
            assert (refused.returncode, refused.stderr.count("\n")) == (6, 2), refused.stderr
            assert f"{stage} at BINANCE 127.0.0.1 needs the record" in refused.stderr
            assert f"betatrader live allow {stage} --reason" in refused.stderr
        assert {one["stage"]: one["open"] for one in steps(more)} == {
            "paper": True,
            "shadow": False,
            "micro": False,
            "full": False,
        }
        assert run("live", "allow", "shadow", "--reason", " ", **more).returncode == 2
        shipped = {"BETATRADER_JOURNAL__DURABILITY": "shipped", "BETATRADER_LEASE__MODE": "strict"}
        away = run("live", "allow", "micro", "--reason", "x", **more, **shipped)
        assert away.returncode == 4, "Redis has the record too, and is not there"
    nowhere = run("live", "allow", "micro", "--reason", "x")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 2)


def steps(more: dict[str, str]) -> list[dict]:
    """What `live status` tells of the simulated Binance."""
    found = json.loads(run("live", "status", "--json", **more).stdout)
    rows: list[dict] = found["places"]["BINANCE 127.0.0.1"]
    return rows


GUIDE = Path(__file__).parents[2] / "docs" / "going-live.md"


SECRET = {
    "binance": "BETATRADER_BINANCE__SECRET",
    "polymarket": "BETATRADER_POLYMARKET__PRIVATE_KEY",
}
BOUNDED = {
    "binance": {"daily_usd": "8"},  # a second one of the least size would go over it
    "polymarket": {"micro_orders_a_day": "1"},
}
"""What lets one order through in micro, and no second."""

SHADOW = {"betatrader live allow shadow --reason TEXT", "betatrader events"}
DENIAL = {"binance": "daily_bought", "polymarket": "daily_orders"}


def told_in_the_guide(name: str) -> set[str]:
    """Every command of docs/going-live.md, at this venue."""
    text = GUIDE.read_text().replace("binance", name)
    lines = (line.strip() for line in text.splitlines() if line.startswith("    "))
    return {line.partition("#")[0].strip() for line in lines if line.startswith("betatrader ")}


class Journey:
    """A person at the guide: each command as it stands there, and the file that they edit."""

    def __init__(self, home: Path, more: dict[str, str], name: str) -> None:
        self.done: set[str] = {f"betatrader venue serve {name}"}
        self._file, self._more = home / "betatrader.toml", more
        self._secret = more[SECRET[name]]

    def edit(self, **fields: str) -> None:
        """Set fields of the file: the key, and its value as TOML writes it."""
        text = self._file.read_text()
        for key, value in fields.items():
            text, count = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text, count=1)
            assert count == 1, key
        self._file.write_text(text)

    def does(self, command: str, status: int = 0) -> str:
        """Run it, and give what it prints."""
        self.done.add(command)
        arguments = [*command.split()[1:]]
        done = run(*("rehearsed" if one == "TEXT" else one for one in arguments), **self._more)
        assert done.returncode == status, (command, done.stdout, done.stderr)
        assert self._secret not in done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def runs(self, command: str, strategy: str) -> Iterator[None]:
        """`up` for as long as the block lasts; it ends well, and says its mode."""
        self.done.add(command)
        with up(*command.split()[1:], "--strategy", strategy, **self._more) as running:
            running.runtime()
            yield
            code, report, errors = running.end()
        assert code == 0, errors
        assert all(report["invariants"].values())
        assert self._secret not in errors


def in_shadow(journey: Journey, strategy: str, more: dict[str, str]) -> None:
    """Step 4 of the guide."""
    journey.edit(mode='"shadow"')
    journey.does("betatrader live allow shadow --reason TEXT")
    with journey.runs("betatrader up", strategy):
        until(lambda: told("signed"), 30)
        assert "SHADOW" in journey.does("betatrader status")
        assert "shadow allowed by" in journey.does("betatrader events")
    shadow = steps(more)[1]
    assert shadow["signed"] == shadow["orders"] > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_the_guide_from_keys_to_full_every_command_as_it_stands_there(
    own_home: Path, tmp_path: Path, name: str
) -> None:
    with shown(name, own_home.parent) as (_, more):
        own_home.mkdir(exist_ok=True)
        more["BETATRADER_RISK__POSITION_NOTIONAL_USD"] = "100"
        journey, strategy = Journey(own_home, more, name), buyer(tmp_path)
        journey.does("betatrader config init")
        journey.edit(market='"live"')
        journey.does("betatrader config check")
        assert "placed, accepted and cancelled" in journey.does(f"betatrader setup {name}")
        journey.does(f"betatrader doctor --venue {name}")

        with journey.runs("betatrader up", strategy):
            until(lambda: status()["fills"], 30)
            assert "PAPER" in journey.does("betatrader status")
        assert "paper   open  1 days" in journey.does("betatrader live status")

        if name == "binance":  # at Polymarket the test of shadow above walks it
            in_shadow(journey, strategy, more)
        journey.edit(mode='"live"', **BOUNDED[name])
        journey.does("betatrader live allow micro --reason TEXT")
        with journey.runs("betatrader up --live", strategy):
            until(lambda: status()["denials"].get(DENIAL[name]) and status()["fills"], 30)
            assert status()["orders"] == 1
            assert "LIVE" in journey.does("betatrader limits show")
            journey.does("betatrader halt --reason TEXT")
            journey.does("betatrader flatten --reason TEXT")
            journey.does("betatrader resume --reason TEXT")

        journey.edit(stage='"full"', daily_usd="40")
        journey.does("betatrader live allow full --reason TEXT")
        with journey.runs("betatrader up --live", strategy):
            found = status()
            assert found["trading_state"] == "REDUCING"
            for limit in ("daily_bought", "daily_orders", "minimum_times"):
                assert limit in found["reason"]
            bought = found["orders"]
            journey.does("betatrader limits confirm --reason TEXT")
            until(lambda: status()["orders"] > bought, 30)
        left = told_in_the_guide(name) - journey.done
        assert left == (set() if name == "binance" else SHADOW)
        assert journey.done <= told_in_the_guide(name)
    secret = more[SECRET[name]].encode()
    for path in own_home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path
