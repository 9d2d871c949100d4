"""API keys: made, derived, listed, deleted."""

from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.answers import RefusedRequestError, body_of, granted
from betatrader.venues.polymarket.serve.authentication import ApiKey
from betatrader.venues.polymarket.serve.state import State


class Access:
    """Answers the paths below `/auth/`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def create(self, request: Request) -> Answer:
        """POST /auth/api-key."""
        address, nonce = self._state.keys.wallet(request, clock.now_ns())
        key = self._state.keys.create(address, nonce)
        self._state.open_account(address)
        return granted(_shown(key))

    async def derive(self, request: Request) -> Answer:
        """GET /auth/derive-api-key."""
        address, nonce = self._state.keys.wallet(request, clock.now_ns())
        return granted(_shown(self._state.keys.derive(address, nonce)))

    async def listed(self, request: Request) -> Answer:
        """GET /auth/api-keys."""
        key = self._state.account(request)
        return granted({"apiKeys": self._state.keys.of(key.address)})

    async def delete(self, request: Request) -> Answer:
        """DELETE /auth/api-key."""
        key = self._state.trader(request)
        self._state.keys.delete(key.key)
        return granted("OK")

    async def closed_only(self, request: Request) -> Answer:
        """GET /auth/ban-status/closed-only."""
        key = self._state.account(request)
        return granted({"closed_only": key.address in self._state.troubles.closed_only})

    async def create_reading(self, request: Request) -> Answer:
        """POST /auth/readonly-api-key."""
        key = self._state.trader(request)
        return granted(_shown(self._state.keys.create_reading(key.address)))

    async def listed_reading(self, request: Request) -> Answer:
        """GET /auth/readonly-api-keys."""
        key = self._state.account(request)
        return granted({"readonlyApiKeys": self._state.keys.of(key.address, reads_only=True)})

    async def delete_reading(self, request: Request) -> Answer:
        """DELETE /auth/readonly-api-key."""
        key, body = self._state.trader(request), body_of(request)
        named = body.get("key") if isinstance(body, dict) else None
        if named not in self._state.keys.of(key.address, reads_only=True):
            raise RefusedRequestError(404, "api key not found")
        self._state.keys.delete(str(named))
        return granted("OK")


def _shown(key: ApiKey) -> dict[str, str]:
    return {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
