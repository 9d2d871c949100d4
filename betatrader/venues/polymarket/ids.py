"""Which order of ours is which of the venue's: it knows an order by the hash of its terms alone.

The hash follows from the order (see `forms.unique`), so that after a restart the same orders give
the same hashes; one that a lost journal had made, and that was found, keeps the venue's. What
cannot be known then (the tick of that moment, the contract where the market is not listed yet) is
tried in all its values.
"""

from collections.abc import Iterable, Iterator

from betatrader.model.ids import ClientOrderId
from betatrader.model.order import CLOSED, Order, OrderTerms, Side
from betatrader.venues.polymarket import forms
from betatrader.venues.polymarket.amounts import AMOUNT_DECIMALS
from betatrader.venues.polymarket.eip712 import NEG_RISK, STANDARD, Exchange, exchange_of
from betatrader.venues.polymarket.forms import Form, Rules
from betatrader.venues.polymarket.sign import SignedOrder, Signer

KEPT = 50_000
"""Hashes that are remembered."""

DIGITS = 32


class Ids:
    """Both ways between our ids and the venue's. `since_ns`: when this process began."""

    def __init__(self, signer: Signer, since_ns: int) -> None:
        self._signer = signer
        self._ours: dict[str, ClientOrderId] = {}
        self._theirs: dict[ClientOrderId, tuple[str, ...]] = {}
        self._terms: dict[ClientOrderId, OrderTerms] = {}
        self.oldest_ns = since_ns
        """All orders that were open since then are known: a trade from before it, of an order that
        is not, was counted long ago."""
        self.heard_ns = 0
        """When our journal last heard of any order: what happened before is in it."""

    def sign(
        self, order: ClientOrderId, terms: OrderTerms, created_ns: int, form: Form, rules: Rules
    ) -> SignedOrder:
        """Sign a new order, and know it from then on."""
        token = forms.number_of(terms.instrument)
        selling = terms.side is Side.SELL
        unique = forms.unique(order, created_ns, token, form.amounts, selling=selling)
        exchange = exchange_of(token, self._signer.chain, neg_risk=rules.neg_risk)
        signed = self._signer.order(unique, exchange)
        self._learn(order, terms, (signed.id,))
        return signed

    def remember(self, orders: Iterable[Order]) -> None:
        """Orders from before this process: all that are remembered, also those that have ended."""
        for order in orders:
            if not forms.token_of(order.terms.instrument) or order.id in self._theirs:
                continue
            if order.state in CLOSED:
                self.oldest_ns = min(self.oldest_ns, order.updated_ns)
            self.heard_ns = max(self.heard_ns, order.created_ns, order.updated_ns)
            hashes = (order.venue_id,) if order.venue_id else self._possible(order)
            self._learn(order.id, order.terms, tuple(dict.fromkeys(hashes)))

    def ours(self, their_id: str) -> ClientOrderId:
        """Our id of an order at the venue. One of our key that we do not know is of a journal that
        was lost: it is called by the first half of its hash, and known so from then on."""
        their_id = their_id.lower()
        found = self._ours.get(their_id)
        if found is None:
            found = ClientOrderId(their_id.removeprefix("0x")[:DIGITS])
            self._learn(found, None, (their_id,))
        return found

    def is_known(self, their_id: str) -> bool:
        """Whether the hash is one of ours."""
        return their_id.lower() in self._ours

    def theirs(self, order: ClientOrderId) -> tuple[str, ...]:
        """The hashes that the venue may know an order of ours by; none where it was never made."""
        return self._theirs.get(order, ())

    def confirm(self, their_id: str) -> None:
        """The venue has named it: of several possible hashes this is the one."""
        order = self._ours.get(their_id.lower())
        if order is not None and len(self._theirs[order]) > 1:
            self._theirs[order] = (their_id.lower(),)

    def terms(self, order: ClientOrderId) -> OrderTerms | None:
        """What we asked for; None for an order that only the venue knows."""
        return self._terms.get(order)

    def _possible(self, order: Order) -> Iterator[str]:
        terms = order.terms
        token = int(forms.token_of(terms.instrument))
        selling = terms.side is Side.SELL
        for tick in self._ticks(terms):
            try:
                amounts = forms.amounts_of(terms, tick)
            except ValueError:
                continue
            unique = forms.unique(order.id, order.created_ns, token, amounts, selling=selling)
            for exchange in self._exchanges(token):
                yield self._signer.order_id(unique, exchange)

    def _ticks(self, terms: OrderTerms) -> tuple[int, ...]:
        """The ticks that can have been in force; amounts of a limit order need none."""
        if terms.side is Side.BUY and forms.kind_of(terms) != "GTC":
            return tuple(tick for tick in AMOUNT_DECIMALS if terms.price % tick == 0)
        return (1,)

    def _exchanges(self, token: int) -> tuple[Exchange, ...]:
        one = exchange_of(token, self._signer.chain, neg_risk=False)
        return (one,) if one is not STANDARD else (STANDARD, NEG_RISK)

    def _learn(
        self, order: ClientOrderId, terms: OrderTerms | None, hashes: tuple[str, ...]
    ) -> None:
        self._theirs[order] = hashes
        if terms is not None:
            self._terms[order] = terms
        for one in hashes:
            self._ours[one] = order
        while len(self._theirs) > KEPT:
            oldest = next(iter(self._theirs))
            for one in self._theirs.pop(oldest):
                self._ours.pop(one, None)
            self._terms.pop(oldest, None)
