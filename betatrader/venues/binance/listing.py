"""Which instruments Binance lists for us, by which rules; and by how much its clock is off."""

from collections.abc import Callable

import anyio
import structlog

from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import ProportionalFees
from betatrader.model.market import InstrumentListed, InstrumentStatus
from betatrader.ops import clock
from betatrader.venues.binance import rules
from betatrader.venues.binance.account import Executions
from betatrader.venues.binance.orders import KeyRights
from betatrader.venues.binance.rest import RefusalError, Rest
from betatrader.venues.binance.wire import VENUE

LOOK_S = 60.0
HINTED_S = 5.0
FEES_S = 3_600.0
"""How old the fees that we pay may be: they follow what we have traded."""

RIGHTS_AGAIN_S = 5.0
"""How soon the key's rights are asked for again where they were not told."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
INVALID_SYMBOL, ILLEGAL_CHARACTERS = -1121, -1100


class Listing:
    """Asks for the rules at each connect and each minute, and tells `market` of them."""

    def __init__(
        self,
        symbols: tuple[str, ...],
        rest: Rest,
        executions: Executions,
        market: Callable[[Event], None],
    ) -> None:
        self.trouble = "its rules are not known yet"
        """Why they are not, as far as is known; "" once they are."""
        self.rights = "they were not asked for yet"
        """Why the key's rights are not known; "" once they are."""
        self._symbols = symbols
        self._rest = rest
        self._executions = executions
        self._market = market
        self._rules: dict[InstrumentId, rules.Rules] = {}
        self._fees: dict[str, tuple[ProportionalFees, float]] = {}
        """By symbol, with the time when they were told."""
        self._untold: set[str] = set()
        self._unfit: set[str] = set()
        self._wake = anyio.Event()
        self._looked_s = 0.0
        self._log = structlog.get_logger()

    def stp(self, instrument: InstrumentId) -> str:
        """The mode against trades with ourselves; empty where the venue's default is to hold."""
        known = self._rules.get(instrument)
        return known.stp if known is not None else ""

    def look_now(self) -> None:
        """Measure the clock and tell all rules anew, at once."""
        self._wake.set()

    def look_soon(self) -> None:
        """The same, but no sooner than some time after the last look: a refused order hints at
        rules that have changed, and many may be refused."""
        if clock.boot_s() - self._looked_s >= HINTED_S:
            self._wake.set()

    async def first(self) -> None:
        """Ask until the rules are known. Raises UsageError where a symbol does not exist, and
        ConfigurationError where the key may not trade, or may move money away."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._look(anew=True)
                await self._guard_key()
                self.trouble = ""
                return
            except (OSError, TimeoutError, ValueError) as error:
                if isinstance(error, RefusalError) and error.code in (
                    INVALID_SYMBOL,
                    ILLEGAL_CHARACTERS,
                ):
                    raise UsageError(
                        f"[binance] symbols: {', '.join(self._symbols)}: {error.text}\n"
                        "Write pairs as the venue does: BTCUSDT."
                    ) from error
                self.trouble = str(error)
                self._log.warning("venue_away", venue=VENUE, error=str(error))
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def keep(self) -> None:
        """Look again each minute, and where something asks for it, until cancelled; and for the
        key's rights until they are told. Raises ConfigurationError where they will not do."""
        while True:
            with anyio.move_on_after(RIGHTS_AGAIN_S if self.rights else LOOK_S):
                await self._wake.wait()
            if self.rights:
                await self._guard_key()
            anew = self._wake.is_set()
            if anew:
                self._wake = anyio.Event()
            elif clock.boot_s() - self._looked_s < LOOK_S:
                continue
            try:
                await self._look(anew=anew)
            except (OSError, TimeoutError, ValueError) as error:
                self._log.warning("no_rules", venue=VENUE, error=str(error))
                await anyio.sleep(FIRST_PAUSE_S)

    async def _look(self, *, anew: bool) -> None:
        self._looked_s = clock.boot_s()
        await self._rest.measure_clock()
        info = await self._rest.exchange_info(self._symbols)
        order = {symbol: place for place, symbol in enumerate(self._symbols)}
        listed = sorted(info.symbols, key=lambda one: order.get(one.symbol, len(order)))
        fitting, others = rules.of_one_quote(listed)
        for one in others:
            if one.symbol not in self._unfit:
                self._unfit.add(one.symbol)
                self._log.error("another_quote", symbol=one.symbol, quote=one.quote_asset)
        for one in fitting:
            fees = await self._commission(one.symbol)
            self._tell(rules.rules_of(one, fees), one.symbol, anew=anew)

    def _tell(self, found: rules.Rules, symbol: str, *, anew: bool) -> None:
        name, now = found.spot.id, clock.now_ns()
        before = self._rules.get(name)
        self._rules[name] = found
        self._executions.spots[symbol] = found.spot
        if anew or before is None or before.spot != found.spot:
            self._market(InstrumentListed(now, found.spot))
        if anew or before is None or before.tradable is not found.tradable:
            self._market(InstrumentStatus(now, name, found.tradable))

    async def _commission(self, symbol: str) -> ProportionalFees:
        """What we pay, asked for again as it grows old. Where that is refused, what was told last,
        or the venue's usual fees, count until the next look."""
        fees, told_s = self._fees.get(symbol, (rules.DEFAULT_FEES, -FEES_S))
        if clock.boot_s() - told_s < FEES_S:
            return fees
        try:
            fees = rules.fees_of(await self._rest.commission(symbol))
        except RefusalError as error:
            if symbol not in self._untold:
                self._untold.add(symbol)
                self._log.warning("fees_not_told", symbol=symbol, error=str(error))
            return fees
        self._untold.discard(symbol)
        self._fees[symbol] = fees, clock.boot_s()
        return fees

    async def _guard_key(self) -> None:
        """A key that may withdraw, or that may not trade, is not taken. Until its rights are told
        nothing is bought with it; testnets never tell, and have no money to lose."""
        try:
            rights = await self._rest.key_rights()
        except (OSError, TimeoutError) as error:
            self.rights = str(error) if self._rest.tells_rights else ""
            self._log.warning("key_rights_not_told", venue=VENUE, error=str(error))
            return
        self.rights = ""
        fault = fault_of(rights)
        if fault:
            raise ConfigurationError([f"[binance] key {fault[0]}.", fault[1]])


def fault_of(rights: KeyRights) -> tuple[str, str] | None:
    """What is wrong with a key's rights, and how to mend it; None where they will do."""
    if (
        rights.enable_withdrawals
        or rights.enable_internal_transfer
        or rights.permits_universal_transfer
    ):
        return (
            "may withdraw or transfer money, which a trader never needs",
            "Take these rights from it at the venue, or make another key.",
        )
    if not rights.enable_spot_and_margin_trading:
        return (
            "may not trade: the venue says enableSpotAndMarginTrading false",
            "Give it that right at the venue, or make another key.",
        )
    return None
