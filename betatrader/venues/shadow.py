"""Shadow: the paper venue, and beside it each order built and signed as it would leave.

What is signed stays here: only its digest is told, which the journal and the audit keep. Nothing
in this module can send, and a venue that signs has no way to either.
"""

from typing import NamedTuple, Protocol

from betatrader.model.account import OrderSigned
from betatrader.model.command import Approved
from betatrader.model.ids import venue_of
from betatrader.ops import metrics
from betatrader.venues.paper import PaperVenue


class SignedRequest(NamedTuple):
    """What would leave: `digest` names it and may be told, `request` holds keys and is not kept."""

    digest: str
    request: bytes


class Signs(Protocol):
    """A real venue's way of building and signing."""

    def signed(self, command: Approved, now_ns: int) -> SignedRequest:
        """The whole request of an order; raises ValueError where it has no form there."""


class ShadowVenue(PaperVenue):
    """Fills inside; `signers` by the venue that instrument ids name."""

    signers: dict[str, Signs]

    def submit(self, command: Approved, now_ns: int) -> None:
        """Sign it, tell of that, and let it fill inside."""
        self._report(self._signed(command, now_ns))
        super().submit(command, now_ns)

    def _signed(self, command: Approved, now_ns: int) -> OrderSigned:
        venue = venue_of(command.terms.instrument)
        signer = self.signers.get(venue)
        digest = reason = ""
        try:
            if signer is None:
                raise ValueError(f"{venue} is not traded live")  # noqa: TRY301  told as any other
            digest = signer.signed(command, now_ns).digest
        except ValueError as error:
            reason = str(error)
        metrics.SIGNED.labels(venue, "signed" if digest else "unfit").inc()
        return OrderSigned(now_ns, command.order, digest, reason)
