"""Configuration: every setting, where it comes from, and what is refused."""

from authz.config.loading import checked, load, read, split_address
from authz.config.reference import reference, starter
from authz.config.settings import (
    AdminSettings,
    AdminToken,
    AnchorSettings,
    AuditSettings,
    AuthzenSettings,
    CallerSettings,
    FieldSettings,
    IssuerSettings,
    LogSettings,
    MetricsSettings,
    OpaSettings,
    PolicySettings,
    ReportingSettings,
    RequestSettings,
    Settings,
    WitnessSettings,
)

__all__ = [
    "AdminSettings",
    "AdminToken",
    "AnchorSettings",
    "AuditSettings",
    "AuthzenSettings",
    "CallerSettings",
    "FieldSettings",
    "IssuerSettings",
    "LogSettings",
    "MetricsSettings",
    "OpaSettings",
    "PolicySettings",
    "ReportingSettings",
    "RequestSettings",
    "Settings",
    "WitnessSettings",
    "checked",
    "load",
    "read",
    "reference",
    "split_address",
    "starter",
]
