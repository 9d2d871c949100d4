"""betatrader: an always-on trader for prediction markets and crypto spot."""

__version__ = "0.1.0"
