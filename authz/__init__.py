"""An authorization decision point for API gateways."""

__version__ = "0.1.0"
