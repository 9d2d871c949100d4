"""A trader's share of its account's limits, as the configuration says it."""

import pytest

from betatrader.config import Config, loads
from betatrader.config.live import bound
from betatrader.config.shard import SUMMED, shared, traded, whole
from betatrader.model.errors import ConfigurationError
from betatrader.model.limits import AMOUNTS, UNBOUND, Limits

LIVE = 'mode = "live"\n[binance]\nsymbols = ["BTCUSDT"]\n'
PER_TRADER = {
    *("order_notional", "order_quantity", "position_notional", "minimum_times"),
    *("drawdown", "collar", "collar_ticks", "stale_data_ns"),
}
"""Of one order or instrument, or a fraction of what the trader has: these do not add up."""


def config(text: str) -> Config:
    return loads(text, "f", {}).config


def test_every_limit_either_adds_up_over_traders_or_does_not() -> None:
    assert set(SUMMED) | PER_TRADER == set(AMOUNTS)
    assert not set(SUMMED) & PER_TRADER


@pytest.mark.parametrize("parts", [("0.5", "0.5"), ("0.35", "0.33", "0.32"), ("0.9", "0.1")])
def test_the_limits_of_all_traders_add_up_to_the_accounts_at_most(parts: tuple[str, ...]) -> None:
    text = "[live]\nmicro_orders_a_day = 10\n[risk]\nopen_positions = 11\n"
    limits = bound(config(LIVE + text).risk.limits(), config(LIVE + text))
    shares = [shared(limits, config(f"{LIVE}{text}[shard]\nshare = {p}").shard) for p in parts]
    for name in SUMMED:
        assert 0 < sum(getattr(one, name) for one in shares) <= getattr(limits, name), name
        assert max(getattr(one, name) for one in shares) < getattr(limits, name), name
    for name in PER_TRADER:
        assert {getattr(one, name) for one in shares} == {getattr(limits, name)}, name


def test_the_whole_is_what_it_was_and_what_binds_nothing_goes_on_binding_nothing() -> None:
    assert shared(Limits(), Config().shard) is not None
    assert shared(Limits(), Config().shard) == Limits()
    half = shared(Limits(), config("[shard]\nshare = 0.4").shard)
    assert (half.daily_bought, half.daily_orders) == (UNBOUND, UNBOUND)
    assert half.daily_loss == Limits().daily_loss * 2 // 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("share = 0.3", "0.3 of risk.open_positions, 3, is less than one"),
        ("share = 0", "expected more than 0"),
        ("share = 1.5", "expected at most 1"),
        ('account = "A B"', "shard.account"),
    ],
)
def test_a_share_that_leaves_nothing_or_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="f line 2: shard") as told:
        config(f"[shard]\n{text}")
    assert why in str(told.value)


def test_what_is_traded_is_named_with_its_venue_and_what_is_followed_is_open_ended() -> None:
    assert traded(Config()) == ()
    text = '[polymarket]\nmarkets = ["0x1"]\nfollow = ["btc-up"]\n[binance]\nsymbols = ["BTCUSDT"]'
    assert set(traded(config(text))) == {
        "binance/BTCUSDT",
        "polymarket/0x1",
        "polymarket/btc-up*",
    }


def test_the_whole_is_told_by_what_is_shared_and_not_by_the_share() -> None:
    assert whole(config(LIVE)) == whole(config(f"{LIVE}[shard]\nshare = 0.4"))
    assert whole(config(LIVE)) != whole(config(f"{LIVE}[live]\ndaily_usd = 7"))
    assert whole(config(LIVE)) != whole(config(f"{LIVE}[risk]\ndaily_loss_usd = 7"))
