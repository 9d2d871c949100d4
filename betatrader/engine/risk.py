"""Risk: asks every check of every order, and is the only maker of `Approved`."""

from betatrader.engine.access import permitted
from betatrader.engine.ceilings import cut
from betatrader.engine.checks import CAPACITY, CHECKS, collar_width
from betatrader.engine.clearance import far_from_ceilings, far_from_limits, has_ceilings, wary
from betatrader.engine.guarding import near_enough
from betatrader.engine.lifecycle import MINUTE_NS
from betatrader.engine.market import Market
from betatrader.engine.proposal import BUY, Proposal
from betatrader.engine.state import State
from betatrader.engine.strategy import Place
from betatrader.model.command import Approved, Refused, Warned
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import SECOND_NS, UNBOUND, Limits, calm
from betatrader.model.money import SCALE, show
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

MARKET = OrderType.MARKET
ANSWER_NS = 5 * SECOND_NS
"""How long a venue has to confirm the books by which a loss limit is reached."""

UNCONFIRMED = "raised limits wait for `betatrader limits confirm`"


class Judge:
    """Asks every check of every order. `limits` are in force; near them (80%) it looks closer."""

    __slots__ = ("_capped", "_plain", "_wary", "calm", "limits", "warnings")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.calm = calm(limits)
        self._wary = wary(limits)
        self._capped = has_ceilings(limits)
        self._plain = not (limits.venues or limits.stops or self._capped)
        self.warnings: list[Warned] = []
        """Of the last approvals, until they are noted: at most one a check and minute."""

    def glance(
        self, state: State, order: ClientOrderId, strategy: StrategyId, intent: Place
    ) -> Approved | None:
        """Approve what is far from every limit; None says nothing: then `judge` is asked."""
        terms = intent.terms
        market = state.markets.get(terms.instrument)
        if (
            market is None
            or intent.uses_forecast
            or not far_from_limits(state, self._wary, market, terms)
            or not (self._plain or self._is_plain(state, strategy, intent))
        ):
            return None
        return Approved(order, strategy, terms, intent.reason, intent.stop, intent.replaces)

    def judge(
        self, state: State, order: ClientOrderId, strategy: StrategyId, intent: Place
    ) -> Approved | Refused:
        """Approve, or name the first check that refuses."""
        terms = intent.terms
        market = state.markets.get(terms.instrument)
        if market is not None:
            if not terms.price and terms.type is MARKET:
                terms = market_terms(self.limits, market, terms.side, terms.quantity)
            if self.limits.minimum_times < UNBOUND:
                terms = cut(terms, market.definition, self.limits)
        proposal = Proposal(
            state,
            self.limits,
            order,
            strategy,
            terms,
            uses_forecast=intent.uses_forecast,
            replaces=intent.replaces,
            stop=intent.stop,
        )
        for check in CHECKS:
            breach = check(proposal)
            if breach is not None:
                limit, actual = breach
                return Refused(order, strategy, terms, check.__name__, limit, actual)
        self._warn(proposal)
        return Approved(order, strategy, terms, intent.reason, intent.stop, intent.replaces)

    def _is_plain(self, state: State, strategy: StrategyId, intent: Place) -> bool:
        """Whether what few people configure lets it through by a margin too."""
        limits, terms = self.limits, intent.terms
        within = limits.stops.get(strategy)
        return (
            (
                within is None
                or terms.side is not BUY
                or near_enough(within, terms.price, intent.stop)
            )
            and (not limits.venues or permitted(limits, strategy, terms.instrument))
            and (not self._capped or far_from_ceilings(state, self._wary, terms))
        )

    def _warn(self, proposal: Proposal) -> None:
        """Hold the order to 80% of what is used up little by little: near it, a person is told."""
        proposal.limits = self.calm
        state = proposal.state
        for check in CAPACITY:
            breach = check(proposal)
            told = state.warned.get(check.__name__)
            if breach is not None and (told is None or state.now_ns - told >= MINUTE_NS):
                self.warnings.append(Warned(check.__name__, *breach))


def nearing(state: State, calm: Limits) -> list[Warned]:
    """The loss limits of which more than 80% is used, each at most once a minute; `calm` are those
    levels."""
    equity = state.equity()
    lost, fall = state.day_equity - equity, state.equity_high - equity
    levels = {
        "daily_loss": (calm.daily_loss, lost),
        "drawdown": (calm.drawdown * state.equity_high // SCALE, fall),
    }
    return [
        Warned(name, show(level), show(used))
        for name, (level, used) in levels.items()
        if used > level and state.now_ns - state.warned.get(name, -MINUTE_NS) >= MINUTE_NS
    ]


def breached(state: State, limits: Limits) -> str:
    """Which loss limit the account has reached by our books, as a sentence; empty where none."""
    equity = state.equity()
    lost = state.day_equity - equity
    if lost >= limits.daily_loss:
        return f"daily loss {show(lost)} reached its limit {show(limits.daily_loss)}"
    fall = state.equity_high - equity
    allowed = limits.drawdown * state.equity_high // SCALE
    if fall >= allowed > 0:
        return f"drawdown {show(fall)} reached its limit {show(allowed)}"
    return ""


def confirmed(state: State) -> str:
    """By whose books that is, as a few words; empty where the venue has to be asked first.

    Books with which a venue has agreed since the last fill are the venue's own; where nothing was
    ever compared there is nobody to ask; and one that does not answer is not waited for for ever.
    """
    if not state.agreed:
        return "by our books, never compared with the venue's"
    if all(fills == state.orders.fills for _, fills in state.agreed.values()):
        seconds = (state.now_ns - min(at_ns for at_ns, _ in state.agreed.values())) // SECOND_NS
        return f"by our books, equal to the venue's {seconds} s ago"
    if state.doubted_ns and state.now_ns - state.doubted_ns >= ANSWER_NS:
        return f"by our books, which the venue has not confirmed in {ANSWER_NS // SECOND_NS} s"
    return ""


def market_terms(limits: Limits, market: Market, side: Side, quantity: int) -> OrderTerms:
    """A market order: immediate or cancel, and never beyond the collar."""
    size = market.definition.tick
    if side is BUY:
        best = market.ask or market.bid
        price = (best + collar_width(limits, market, best)) // size * size
        if isinstance(market.definition, BinaryContract):
            price = min(price, SCALE - size)
    else:
        best = market.bid or market.ask
        price = max(size, -(-(best - collar_width(limits, market, best)) // size) * size)
    return OrderTerms(market.id, side, OrderType.MARKET, price, quantity, TimeInForce.IOC)
