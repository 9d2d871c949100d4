"""`setup` and `doctor`: what a key and an account may do, and what the smallest order costs."""

from typing import Any

import binance_scenes
import pytest
from polymarket_scenes import (
    API_KEY,
    API_SECRET,
    CONDITION,
    NO,
    PRIVATE,
    YES,
    Fake,
    RefuseError,
    order,
    page,
)

from betatrader.engine.market import Market
from betatrader.model.instrument import BinaryContract, BinaryFees, Instrument
from betatrader.model.money import SCALE, parse
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer
from betatrader.roles import permits
from betatrader.roles.permits import NEG_RISK_ADAPTER, Step
from betatrader.roles.proving import far, smallest
from betatrader.venues.binance import wire
from betatrader.venues.binance.rest import Rest as BinanceRest
from betatrader.venues.binance.sign import HmacSigner
from betatrader.venues.polymarket.eip712 import NEG_RISK, STANDARD
from betatrader.venues.polymarket.headers import Credentials
from betatrader.venues.polymarket.rest import Rest
from betatrader.venues.polymarket.sign import Signer

BALANCE = "GET /balance-allowance"
ALL = {STANDARD.address: str(2**255), NEG_RISK.address: str(2**255)}


def contract(least: str = "5") -> BinaryContract:
    return BinaryContract(
        id=YES,
        event=CONDITION,
        outcome="Yes",
        complement=NO,
        expires_ns=1,
        resolution_source="",
        tick=parse("0.01"),
        lot=parse("0.01"),
        min_notional=0,
        fees=BinaryFees(0, 0),
        nets=False,
        min_quantity=parse(least),
    )  # type: ignore[arg-type]


class Account:
    """A Polymarket account that states this of its wallets, in dollars by their type."""

    def __init__(self, cash: dict[int, int], kind: int = 0, **given: Any) -> None:
        self.fake, self.told = Fake(), list[Step]()
        self.allowed, self.neg_risk = dict(ALL), False
        wallet = "0x" + "5a" * 20 if kind else ""
        signer = Signer(Secret(PRIVATE), 137, kind, wallet)
        keys = Credentials(Secret(API_KEY), Secret(API_SECRET), Secret("p"))
        self.rest = Rest(self.fake, "http://x", signer, given.get("keys", keys))
        self.cash = cash
        self.fake.rest |= {
            BALANCE: self._stated,
            "GET /balance-allowance/update": lambda _: {},
            "GET /neg-risk": lambda _: {"neg_risk": self.neg_risk},
        }

    def _stated(self, given: dict[str, str]) -> dict[str, Any]:
        dollars = self.cash.get(int(given["signature_type"]), 0)
        return {"balance": str(dollars * 10**6), "allowances": self.allowed}

    async def may(self) -> list[str]:
        await permits.asked_of("polymarket")(self.rest, self.told.append)
        return [f"{step.verdict} {step.name}" for step in self.told]

    async def allows(self, listed: list[Instrument]) -> Step:
        await permits.allowances(self.rest, listed, self.told.append)
        return self.told[-1]


async def test_an_account_with_money_and_a_key_may_trade() -> None:
    account = Account({0: 20})
    assert await account.may() == ["ok api key", "ok rights", "ok wallet"]
    assert (await account.allows([contract()])).verdict == "ok"


async def test_the_wallet_that_holds_the_money_is_found_where_it_is_another_type() -> None:
    account = Account({2: 20})
    assert await account.may() == ["ok api key", "ok rights", "fail wallet"]
    assert "type 2, a Safe, holds $20" in account.told[-1].found
    assert account.told[-1].remedy.startswith("Set signature_type = 2, and funder to")
    account = Account({0: 7}, kind=1)
    assert (await account.may())[-1] == "fail wallet"
    assert account.told[-1].remedy == "Set signature_type = 0, and leave funder out."
    account = Account({}, kind=1)
    assert (await account.may())[-1] == "ok wallet", "where nothing is held none is better"


async def test_a_key_that_is_refused_and_an_account_that_may_only_sell_are_told() -> None:
    def refuse(_given: object) -> None:
        raise RefuseError(401, "Unauthorized/Invalid api key")

    account = Account({0: 20})
    account.fake.rest["GET /auth/ban-status/closed-only"] = refuse
    assert await account.may() == ["fail api key"]
    assert "Unauthorized/Invalid api key" in account.told[-1].found
    account = Account({0: 20})
    account.fake.rest["GET /auth/ban-status/closed-only"] = lambda _: {"closed_only": True}
    assert await account.may() == ["ok api key", "fail rights"]


async def test_a_contract_that_may_not_take_what_is_held_is_named() -> None:
    account = Account({0: 20})
    account.allowed = {NEG_RISK.address.lower(): str(2**255)}
    step = await account.allows([contract()])
    assert (step.verdict, STANDARD.address in step.found) == ("fail", True)
    assert step.remedy.startswith("Approve them")
    account.neg_risk = True
    step = await account.allows([contract()])
    assert (step.verdict, NEG_RISK.address in step.found) == ("fail", False)
    assert NEG_RISK_ADAPTER in step.found
    account.allowed[NEG_RISK_ADAPTER] = "5000000"
    step = await account.allows([contract()])
    assert (step.verdict, step.found) == (
        "warn",
        f"less than what is held: $5 by {NEG_RISK_ADAPTER}",
    )


async def test_orders_that_the_end_of_the_heartbeat_would_cancel_are_told_before_it() -> None:
    account = Account({0: 20})
    await permits.resting(account.rest, account.told.append)
    assert account.told[-1].verdict == "ok"
    account.fake.rest["GET /data/orders"] = lambda _: page(order("0x01"), order("0x02"))
    await permits.resting(account.rest, account.told.append)
    assert account.told[-1].verdict == "warn"
    assert account.told[-1].found.startswith("2 orders of this account rest: the venue cancels all")


@pytest.mark.parametrize(
    ("reply", "steps", "said"),
    [
        ({"enableWithdrawals": False}, ["ok api key", "ok rights"], "neither withdraw"),
        ({"enableWithdrawals": True}, ["ok api key", "fail rights"], "may withdraw or transfer"),
        (Answer(502, b"<html>"), ["fail rights"], "they are not told: the venue answered HTTP 502"),
        (Answer(401, b'{"code":-2015,"msg":"No."}'), ["fail api key"], "No. (-2015)"),
    ],
    ids=["trade", "withdraw", "page", "refused"],
)
async def test_what_a_binance_key_may_do_is_told(reply: Any, steps: list[str], said: str) -> None:
    fake, told = binance_scenes.Fake(), list[Step]()
    fake.rest["/sapi/v1/account/apiRestrictions"] = lambda _: reply
    rest = BinanceRest(fake, "http://x", Secret("k"), HmacSigner(Secret("s" * 64)), 2_000)
    may = await permits.asked_of("binance")(rest, told.append)
    assert [f"{step.verdict} {step.name}" for step in told] == steps
    assert said in told[-1].found
    assert may is steps[-1].startswith("ok")


@pytest.mark.parametrize(
    ("definition", "quantity", "least"),
    [
        (contract("15"), "15", "9"),
        (wire.definition("BTCUSDT"), "0.22917", "5.5"),
    ],
    ids=["contract", "pair"],
)
def test_the_smallest_order_is_of_the_markets_own_minimum(
    definition: Instrument, quantity: str, least: str
) -> None:
    seen = Market(definition)
    assert smallest(seen) == (15 * SCALE if definition.min_quantity else parse("5"))
    contracts = isinstance(definition, BinaryContract)
    seen.bid, seen.ask = (parse("0.5"), parse("0.6")) if contracts else (30 * SCALE, 31 * SCALE)
    assert far(definition, seen.bid)[1] == parse(quantity)
    assert smallest(seen) >= parse(least)
    assert smallest(seen) <= parse(least) + parse("0.01")
