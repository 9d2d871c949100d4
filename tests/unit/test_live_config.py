"""Going live takes two halves: the mode in the configuration, and --live on the command line."""

import pytest

from betatrader.config import Config, loads
from betatrader.config.live import bound, check_command_line, on_live_market, traded_venues
from betatrader.model.errors import RefusedError
from betatrader.model.limits import UNBOUND, Limits, modest, raised
from betatrader.model.money import SCALE

CENTS = SCALE // 100
SPOT = '[binance]\nsymbols = ["BTCUSDT"]\n'


def config(text: str) -> Config:
    return loads(text, "f.toml", {}).config


def test_either_half_alone_is_refused_and_both_go_on() -> None:
    live = config(f'mode = "live"\n{SPOT}')
    with pytest.raises(RefusedError, match="--live is not on the command line") as refused:
        check_command_line(live, live=False)
    assert refused.value.exit_status == 6
    for mode in ("paper", "shadow"):
        with pytest.raises(RefusedError, match=f'says mode = "{mode}"'):
            check_command_line(config(f'mode = "{mode}"\n{SPOT}'), live=True)
        check_command_line(config(f'mode = "{mode}"\n{SPOT}'), live=False)
    check_command_line(live, live=True)


def test_what_is_traded_on_live_is_what_the_tables_name() -> None:
    both = config(f'{SPOT}[polymarket]\nmarkets = ["0x1"]\n[paper]\nmarket = "live"')
    assert traded_venues(both) == ("binance", "polymarket")
    assert on_live_market(both)
    assert not on_live_market(config(SPOT))
    assert on_live_market(config(f'mode = "shadow"\n{SPOT}'))
    assert not on_live_market(config(f'mode = "live"\n{SPOT}'))


def test_the_ceilings_bind_in_live_alone_and_full_has_no_minimum_size() -> None:
    text = f'mode = "live"\n{SPOT}[live]\ndaily_usd = 7.5\nmicro_orders_a_day = 3\n'
    micro = bound(Limits(), config(text))
    assert (micro.daily_bought, micro.daily_orders, micro.minimum_times) == (750 * CENTS, 3, 1)
    full = bound(Limits(), config(f'{text}stage = "full"\n'))
    assert (full.daily_bought, full.daily_orders) == (750 * CENTS, UNBOUND)
    assert full.minimum_times == UNBOUND
    assert bound(Limits(), config(SPOT)) == Limits()


def test_live_trades_every_venue_whose_table_names_something() -> None:
    both = config(f'mode = "live"\n{SPOT}[polymarket]\nmarkets = ["0x1"]')
    assert traded_venues(both) == ("binance", "polymarket")


def test_the_first_ceiling_above_what_everybody_begins_with_waits_for_a_person() -> None:
    for daily_usd, waits in ((20, False), (21, True)):
        more = f'mode = "live"\n{SPOT}[live]\nstage = "full"\ndaily_usd = {daily_usd}'
        limits = bound(Limits(), config(more))
        assert bool(raised(limits, modest(limits))) is waits
    assert modest(Limits()) == Limits()


def test_markets_that_are_only_followed_are_traded_too() -> None:
    assert traded_venues(config('[polymarket]\nfollow = ["btc-up"]')) == ("polymarket",)
