"""The venue's relayer: what number a wallet's next transaction has, sending one, what became of it.

Every question once, with a timeout. Raises as `rest.Rest` does: ConnectionError of several kinds.
"""

from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from betatrader.model.secret import Secret
from betatrader.net.transport import Transport
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.relay import KINDS, NOBODY
from betatrader.venues.polymarket.rest import UnclearError, reading
from betatrader.venues.polymarket.sign import PROXY, Signer

T = TypeVar("T")

ANSWER_S = 10.0
DONE = "STATE_CONFIRMED"
FAILED = ("STATE_FAILED", "STATE_INVALID")


class Params(msgspec.Struct):
    """The number of the next transaction, and the relayer's own address."""

    nonce: str
    address: str = NOBODY


class Submitted(msgspec.Struct):
    """The answer to a transaction that was taken."""

    id: str = msgspec.field(name="transactionID")
    state: str = ""


class Transaction(msgspec.Struct):
    """What became of one."""

    state: str
    error_msg: str | None = None


class Relayer:
    """Asks for one wallet. `key` is a relayer API key, of the account `key_address`."""

    def __init__(
        self, transport: Transport, address: str, signer: Signer, key: Secret, key_address: str = ""
    ) -> None:
        self._transport = transport
        self._address = address.rstrip("/")
        self._signer = signer
        self._key = key
        self._key_address = key_address or signer.address

    async def params(self) -> tuple[int, str]:
        """The number of the wallet's next transaction, and who sends it."""
        kind = self._signer.signature_type
        path = "/relay-payload" if kind == PROXY else "/v1/account/transactions/params"
        query = urlencode({"address": self._signer.address, "type": KINDS[kind]})
        found = _as(Params, await self._ask("GET", f"{path}?{query}"))
        if not found.nonce.isdecimal():
            raise UnclearError(f"{path}: the nonce is no number")
        return int(found.nonce), found.address

    async def submit(self, body: bytes) -> str:
        """Send a signed transaction; its id."""
        return _as(Submitted, await self._ask("POST", "/submit", body)).id

    async def transaction(self, name: str) -> Transaction:
        """What became of one."""
        return _as(Transaction, await self._ask("GET", f"/v1/account/transactions/{name}"))

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        sent = {"RELAYER_API_KEY": self._key.reveal(), "RELAYER_API_KEY_ADDRESS": self._key_address}
        if body:
            sent["Content-Type"] = "application/json"
        answer = await self._transport.request(
            method, self._address + path, headers=sent, body=body, timeout_s=ANSWER_S
        )
        return reading(answer)


def _as(kind: type[T], body: bytes) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except wire.UNREADABLE as error:
        raise UnclearError(f"the relayer's answer is no {kind.__name__}: {error}") from error
