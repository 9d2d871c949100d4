"""Polymarket in shadow: its market, and orders built and signed with the real key, and not sent."""

from collections.abc import Callable

from betatrader.config.venues import Polymarket
from betatrader.model.command import Approved
from betatrader.model.event import Event
from betatrader.net.transport import Transport
from betatrader.ops import clock
from betatrader.venues.polymarket import forms
from betatrader.venues.polymarket.headers import Credentials
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.public import PolymarketMarket
from betatrader.venues.polymarket.rest import Rest
from betatrader.venues.polymarket.sending import body_of
from betatrader.venues.polymarket.sign import Signer
from betatrader.venues.shadow import SignedRequest


class PolymarketShadow(PolymarketMarket):
    """The adapter's market half and its signing half; of the account it asks for the API key
    alone. Raises UsageError as the adapter does."""

    def __init__(
        self,
        settings: Polymarket,
        transport: Transport,
        market: Callable[[Event], None],
        changed: Callable[[str], None],
    ) -> None:
        signer = Signer(
            settings.private_key, settings.chain, settings.signature_type, settings.funder
        )
        keys = None
        if settings.api_key:
            keys = Credentials(settings.api_key, settings.api_secret, settings.api_passphrase)
        rest = Rest(transport, settings.clob, signer, keys)
        super().__init__(settings, transport, market, changed, rest)
        self._signer = signer
        self._ids = Ids(signer, clock.now_ns())

    async def _greet(self) -> None:
        await super()._greet()
        if self._rest.keys is None:
            await self._rest.key_of_account()

    def signed(self, command: Approved, now_ns: int) -> SignedRequest:
        """The request `POST /order`: the L2 headers, a blank line and the body, named by the
        order's hash; raises UnmappableError."""
        keys, terms = self._rest.keys, command.terms
        rules = self.rules.get(forms.token_of(terms.instrument))
        if rules is None or keys is None:
            raise forms.UnmappableError("the market is not listed, or no API key is known yet")
        form = forms.form_of(terms, rules)
        made = self._ids.sign(command.order, terms, now_ns, form, rules)
        body = body_of(made.json, keys, form)
        proof = keys.l2(self._signer.address, self._rest.clock.now_s(), "POST", "/order", body)
        head = "\r\n".join(f"{name}: {value}" for name, value in proof.items())
        return SignedRequest(made.id, f"{head}\r\n\r\n{body}".encode())
