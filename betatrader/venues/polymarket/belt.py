"""An order that rests, with an expiry: where its owner dies it does not rest for ever. Pure.

The venue does not sign the expiry, so the order's hash is the same with it and without.
"""

SECURITY_S = 60
"""The venue ends an order so long before the expiry that it states."""


def expiring(body: str, now_s: int, rest_s: int) -> str:
    """The body of a GTC order as that of a GTD order, which rests for so long."""
    at_s = now_s + SECURITY_S + rest_s
    dated = body.replace('"expiration":"0"', f'"expiration":"{at_s}"', 1)
    return dated.replace('"orderType":"GTC"', '"orderType":"GTD"', 1)
