"""Asking several ledgers as one: that on this disk, or those of replicas over their admin listeners."""

from authz.replicas.counting import Count, top
from authz.replicas.fleet import Fleet, Missing
from authz.replicas.source import Asked, LocalLedger, RemoteLedger, Source
from authz.replicas.standing import COLUMNS, Standing, revisions, standings
from authz.replicas.telling import reason_of, since_before

__all__ = [
    "COLUMNS",
    "Asked",
    "Count",
    "Fleet",
    "LocalLedger",
    "Missing",
    "RemoteLedger",
    "Source",
    "Standing",
    "reason_of",
    "revisions",
    "since_before",
    "standings",
    "top",
]
