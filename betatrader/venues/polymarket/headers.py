"""Headers that prove who asks: L1 (the account's signature) for API keys, L2 (HMAC) for the rest.

Pure: the time is given, in seconds of the venue's clock.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret
from betatrader.venues.polymarket.sign import Signer


class Credentials:
    """An API key with its secret (urlsafe base64) and passphrase; shows none of them.

    Raises UsageError where the secret is no base64.
    """

    def __init__(self, key: Secret, secret: Secret, passphrase: Secret) -> None:
        self.key = key
        self.secret = secret
        self.passphrase = passphrase
        try:
            mac_key = base64.urlsafe_b64decode(secret.reveal())
        except (binascii.Error, ValueError):
            text = "[polymarket] api_secret is no urlsafe base64: copy it again"
            raise UsageError(text) from None
        self._mac = hmac.new(mac_key, digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "Credentials(***)"

    def l2(
        self, address: str, timestamp_s: int, method: str, path: str, body: str
    ) -> dict[str, str]:
        """Headers of one request; `path` has no query, `body` is the exact text that is sent.

        The venue's own client hashes `'` as `"`; ours sends no such text, so both agree.
        """
        mac = self._mac.copy()
        mac.update(f"{timestamp_s}{method}{path}{body}".encode())
        return {
            "POLY_ADDRESS": address,
            "POLY_SIGNATURE": base64.urlsafe_b64encode(mac.digest()).decode(),
            "POLY_TIMESTAMP": str(timestamp_s),
            "POLY_API_KEY": self.key.reveal(),
            "POLY_PASSPHRASE": self.passphrase.reveal(),
        }


def l1(signer: Signer, timestamp_s: int, nonce: int = 0) -> Mapping[str, str]:
    """Headers that make or derive an API key."""
    return {
        "POLY_ADDRESS": signer.address,
        "POLY_SIGNATURE": signer.attestation(str(timestamp_s), nonce),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": str(nonce),
    }
