"""The relayer: it takes signed transactions of wallets, carries them out, and tells how they ended.

A wallet's transactions are numbered: one of an old number is refused, so that each happens once.
"""

import msgspec

from betatrader.model.money import SCALE
from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.serve import chain, records
from betatrader.venues.polymarket.serve.answers import RefusedRequestError, asked, granted
from betatrader.venues.polymarket.serve.chain import ADAPTER, NEG_RISK_ADAPTER, Asked, Signed
from betatrader.venues.polymarket.serve.listings import Market, token_of
from betatrader.venues.polymarket.serve.payload import BASE
from betatrader.venues.polymarket.serve.signatures import canonical
from betatrader.venues.polymarket.serve.state import State

MINED_AFTER_NS = 300_000_000
CONFIRMED_AFTER_NS = 900_000_000
KEPT = 10_000
RELAY = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
"""The account that sends what the relayer takes."""


class Transaction:
    """One that was taken."""

    def __init__(self, name: str, account: str, calls: list[Asked]) -> None:
        self.name = name
        self.account = account
        self.calls = calls
        self.state = "STATE_NEW"
        self.hash = ""
        self.error = ""


class Relaying:
    """Answers what is asked of the relayer."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._nonces: dict[str, int] = {}
        self._taken: dict[str, Transaction] = {}

    async def params(self, request: Request) -> Answer:
        """GET /v1/account/transactions/params and /relay-payload."""
        wanted = asked(request)
        try:
            account = canonical(wanted.get("address", ""))
        except ValueError:
            raise RefusedRequestError(400, "invalid address") from None
        return granted({"address": RELAY, "nonce": str(self._nonces.get(account, 0))})

    async def deployed(self, _request: Request) -> Answer:
        """GET /deployed: every wallet is on the chain."""
        return granted({"deployed": True})

    async def submit(self, request: Request) -> Answer:
        """POST /submit."""
        try:
            sent = msgspec.json.decode(request.body, type=Signed)
            account, wallet, nonce = canonical(sent.sender), sent.wallet, int(sent.nonce)
            signer, calls = chain.signer_of(sent), chain.asked_of(sent)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            raise RefusedRequestError(400, f"invalid transaction: {error}") from None
        self._check_key(request, account)
        if signer != account or self._state.wallets.get(wallet, account) != account:
            raise RefusedRequestError(400, "invalid signature")
        params = sent.deposit_wallet_params
        if params is not None and int(params.deadline) * records.SECOND < clock.now_ns():
            raise RefusedRequestError(400, "the deadline has passed")
        there = self._nonces.get(account, 0)
        if nonce != there:
            text = f"batch nonce {nonce} does not match on-chain nonce {there}"
            raise RefusedRequestError(400, text)
        self._nonces[account] = there + 1
        self._state.wallets.setdefault(wallet, account)
        return granted(self._take(account, there, calls))

    async def transaction(self, request: Request) -> Answer:
        """GET /v1/account/transactions/{id}."""
        found = self._taken.get(request.path.rpartition("/")[2])
        if found is None:
            raise RefusedRequestError(404, "transaction not found")
        return granted(
            {
                "transaction_id": found.name,
                "transaction_hash": found.hash,
                "state": found.state,
                "error_msg": found.error or None,
            }
        )

    def _check_key(self, request: Request, account: str) -> None:
        key = request.headers.get("relayer_api_key", "")
        owner = request.headers.get("relayer_api_key_address", "")
        if not key or owner.lower() != account.lower():
            raise RefusedRequestError(401, "invalid authorization")

    def _take(self, account: str, nonce: int, calls: list[Asked]) -> dict[str, str]:
        now_ns = clock.now_ns()
        one = Transaction(f"{account[2:10]}-{nonce}", account, calls)
        self._taken[one.name] = one
        if len(self._taken) > KEPT:
            del self._taken[next(iter(self._taken))]
        mined_ns, done_ns = now_ns + MINED_AFTER_NS, now_ns + CONFIRMED_AFTER_NS
        self._state.agenda.at(mined_ns, lambda: self._mine(one, mined_ns))
        self._state.agenda.at(done_ns, lambda: self._confirm(one))
        self._state.wake.set()
        return {"transactionID": one.name, "transactionHash": "", "state": one.state}

    def _mine(self, one: Transaction, now_ns: int) -> None:
        one.state, one.hash = "STATE_MINED", records.transaction(now_ns)
        for call in one.calls:
            one.error = one.error or self._carry_out(call, one.account, now_ns)
        if one.error:
            one.state = "STATE_FAILED"

    def _confirm(self, one: Transaction) -> None:
        if not one.error:
            one.state = "STATE_CONFIRMED"

    def _carry_out(self, call: Asked, account: str, now_ns: int) -> str:
        """Do what a call asks for; why not, where the contract would refuse it."""
        market = self._state.listings.markets.get(call.condition)
        if market is None or len(market.tokens) != 2:
            return "condition not prepared"
        if call.target != canonical(NEG_RISK_ADAPTER if market.neg_risk else ADAPTER):
            return "not a contract of this market"
        if not call.amount:
            return self._redeem(market, account)
        first, second = (token.id for token in market.tokens)
        if not self._state.exchange.merge(first, second, call.amount * BASE, account):
            return "insufficient balance for transfer"
        self._drop_unfunded(market, account, now_ns)
        return ""

    def _redeem(self, market: Market, account: str) -> str:
        if not market.resolved:
            return "result for condition not received yet"
        for token in market.tokens:
            won = SCALE if market.winner == token_of(token.id) else 0
            pays = won if market.winner else SCALE // 2
            self._state.exchange.pay(token.id, pays, account)
        return ""

    def _drop_unfunded(self, market: Market, account: str, now_ns: int) -> None:
        """Cancel what offers more than is held now, newest first."""
        desk, ledger = self._state.desk, self._state.exchange.ledgers[account]
        for token in market.tokens:
            offers = [
                record
                for record in desk.working(account)
                if record.instrument == token.id and record.side == "SELL"
            ]
            left = ledger.held(token.id) - sum(one.size - one.matched for one in offers)
            while left < 0 and offers:
                newest = offers.pop()
                left += newest.size - newest.matched
                desk.withdraw(newest.id, account, now_ns, "not enough balance")
