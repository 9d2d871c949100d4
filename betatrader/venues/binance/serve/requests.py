"""Requests as the venue checks them: parameters, keys, times and signatures.

Source: Binance's rest-api.md ("SIGNED endpoint security"), web-socket-api.md, errors.md.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from betatrader.model.errors import UsageError
from betatrader.net.transport import Request

AHEAD_MS = 1_000
RECV_WINDOW_MS, LONGEST_WINDOW_MS = 5_000, 60_000
MICROSECONDS = 10**15
"""A timestamp above this is in microseconds."""

KEY_DIGITS = 64

Parameters = dict[str, str]


class Refusal(Exception):  # noqa: N818  it says what it is
    """What the venue answers instead: HTTP status, its code and its words."""

    def __init__(self, status: int, code: int, text: str, data: Any = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.data = data

    def body(self) -> dict[str, Any]:
        """As it stands in an answer."""
        found = {"code": self.code, "msg": self.text}
        return found if self.data is None else {**found, "data": self.data}


class Account(NamedTuple):
    """A key and what it may do. `owner` is the exchange's name of the account; `secret` is an HMAC
    secret, or an Ed25519 public key in PEM."""

    key: str
    secret: str
    owner: str
    can_trade: bool = True
    can_withdraw: bool = False

    def verifies(self, payload: bytes, signature: str) -> bool:
        """Whether a signature is this key's."""
        if "-----BEGIN" in self.secret:
            return _verified(self.secret, payload, signature)
        made = hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(made.encode(), signature.lower().encode())

    @property
    def logs_on(self) -> bool:
        """Whether a session can be logged on with it."""
        return "-----BEGIN" in self.secret


def _verified(pem: str, payload: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("the simulator takes Ed25519 public keys\nGive one in PEM.")
    try:
        key.verify(base64.b64decode(signature), payload)
    except (InvalidSignature, ValueError):
        return False
    return True


class Keys:
    """The accounts by their keys. `now_ms` is the venue's clock."""

    def __init__(self, accounts: list[Account], now_ms: Callable[[], int]) -> None:
        self._accounts = {account.key: account for account in accounts}
        self._alive = True
        self._now_ms = now_ms

    def all(self) -> list[Account]:
        """All accounts, one for each key."""
        return list(self._accounts.values())

    def allow(self, *, trade: bool, withdraw: bool, alive: bool) -> None:
        """What all keys may do from now on; one that is not alive is as if it had never been."""
        self._alive = alive
        for key, account in self._accounts.items():
            self._accounts[key] = account._replace(can_trade=trade, can_withdraw=withdraw)

    def now(self, account: Account) -> Account | None:
        """The account as it is now, None where its key has ended."""
        return self._accounts.get(account.key) if self._alive else None

    def of(self, key: str) -> Account:
        """The account of a key; raises Refusal."""
        if len(key) != KEY_DIGITS:
            raise Refusal(401, -2014, "API-key format invalid.")
        found = self._accounts.get(key) if self._alive else None
        if found is None:
            raise Refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")
        return found

    def of_rest(self, request: Request) -> tuple[Account, Parameters]:
        """The account that has signed a REST request, and its parameters; raises Refusal."""
        account = self.of(request.headers.get("x-mbx-apikey", ""))
        parameters = of_rest(request)
        self.check(account, parameters, _payload(request))
        return account, parameters

    def of_api(self, params: Mapping[str, Any]) -> tuple[Account, Parameters]:
        """The same of a signed WebSocket request."""
        parameters = {name: _text(value) for name, value in params.items()}
        account = self.of(parameters.get("apiKey", ""))
        names = sorted(name for name in parameters if name != "signature")
        payload = "&".join(f"{name}={parameters[name]}" for name in names).encode()
        self.check(account, parameters, payload)
        return account, parameters

    def check(self, account: Account, parameters: Parameters, payload: bytes) -> None:
        """Time and signature; raises Refusal."""
        self.check_time(parameters)
        signature = parameters.get("signature", "")
        if not signature:
            raise missing("signature")
        if not account.verifies(payload, signature):
            raise Refusal(400, -1022, "Signature for this request is not valid.")

    def check_time(self, parameters: Parameters) -> None:
        """Whether the request is of now; raises Refusal."""
        stated = parameters.get("timestamp", "")
        if not stated.isdigit():
            raise missing("timestamp")
        stamp = int(stated)
        stamp = stamp // 1_000 if stamp > MICROSECONDS else stamp
        window = float(parameters.get("recvWindow") or RECV_WINDOW_MS)
        if window > LONGEST_WINDOW_MS:
            raise Refusal(400, -1131, "recvWindow must be less than 60000.")
        now = self._now_ms()
        if stamp >= now + AHEAD_MS:
            text = "Timestamp for this request was 1000ms ahead of the server's time."
            raise Refusal(400, -1021, text)
        if now - stamp > window:
            raise Refusal(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def missing(name: str) -> Refusal:
    """A parameter that was not sent."""
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return Refusal(400, -1102, text)


def of_rest(request: Request) -> Parameters:
    """Query and body; a name in both has the query's value."""
    body = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
    return {**body, **dict(parse_qsl(request.query, keep_blank_values=True))}


def _payload(request: Request) -> bytes:
    """What was signed: query and body as they came, with nothing between, less the signature."""
    query = request.query.encode()
    raw = query + request.body
    for part in (query + b"&" + request.body).split(b"&"):
        if part.startswith(b"signature="):
            for whole in (b"&" + part, part + b"&", part):
                if whole in raw:
                    return raw.replace(whole, b"", 1)
    return raw


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
