"""Configuration: every setting, where it comes from, and what is refused."""

from authz.config.loading import checked, load, split_address
from authz.config.reference import reference, starter
from authz.config.settings import (
    AdminSettings,
    AdminToken,
    AuditSettings,
    CallerSettings,
    IssuerSettings,
    LogSettings,
    MetricsSettings,
    PolicySettings,
    RequestSettings,
    Settings,
)

__all__ = [
    "AdminSettings",
    "AdminToken",
    "AuditSettings",
    "CallerSettings",
    "IssuerSettings",
    "LogSettings",
    "MetricsSettings",
    "PolicySettings",
    "RequestSettings",
    "Settings",
    "checked",
    "load",
    "reference",
    "split_address",
    "starter",
]
