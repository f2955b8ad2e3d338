"""Asking several ledgers as one: that on this disk, or those of replicas over their admin listeners."""

from authz.replicas.counting import Count, top
from authz.replicas.fleet import Fleet, Missing
from authz.replicas.source import Asked, LocalLedger, RemoteLedger, Source
from authz.replicas.telling import reason_of, since_before

__all__ = [
    "Asked",
    "Count",
    "Fleet",
    "LocalLedger",
    "Missing",
    "RemoteLedger",
    "Source",
    "reason_of",
    "since_before",
    "top",
]
