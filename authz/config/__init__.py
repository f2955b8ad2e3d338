"""Configuration: every setting, where it comes from, and what is refused."""

from authz.config.alarms import AlarmSettings
from authz.config.audit import AnchorSettings, AuditSettings, FieldSettings, WitnessSettings
from authz.config.loading import LOOPBACK_HOSTS, checked, load, read, split_address
from authz.config.privacy import check_privacy
from authz.config.reference import reference, starter
from authz.config.settings import (
    AddressLimit,
    AdminSettings,
    AdminToken,
    AuthzenSettings,
    CallerSettings,
    IssuerSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    OpaSettings,
    PolicyKeySettings,
    PolicySettings,
    ReportingSettings,
    Settings,
    SharedLimits,
)
from authz.config.stream import StreamSettings

__all__ = [
    "LOOPBACK_HOSTS",
    "AddressLimit",
    "AdminSettings",
    "AdminToken",
    "AlarmSettings",
    "AnchorSettings",
    "AuditSettings",
    "AuthzenSettings",
    "CallerSettings",
    "FieldSettings",
    "IssuerSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "OpaSettings",
    "PolicyKeySettings",
    "PolicySettings",
    "ReportingSettings",
    "Settings",
    "SharedLimits",
    "StreamSettings",
    "WitnessSettings",
    "check_privacy",
    "checked",
    "load",
    "read",
    "reference",
    "split_address",
    "starter",
]
