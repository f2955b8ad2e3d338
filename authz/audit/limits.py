"""Bounds of a ledger writer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Bounds of one writer.

    A segment is rotated at `segment_bytes` or `segment_seconds`. At most `pending_records` records and about
    `pending_bytes` bytes wait for the device; more is OverloadedError. After a failure a new segment is opened at
    once; while nothing becomes durable in between, the next tries come after `retry_seconds`, doubling up to
    `retry_most_seconds`. When nothing waiting has become durable for `stall_seconds`, the writer is not healthy. Every
    `clock_seconds` it is looked whether somebody set the clock. `ballast_bytes` of the disk are kept back for the last
    records; 0: none.
    """

    segment_bytes: int = 64 << 20
    segment_seconds: float = 3600.0
    pending_records: int = 16_384
    pending_bytes: int = 32 << 20
    retry_seconds: float = 0.05
    retry_most_seconds: float = 5.0
    stall_seconds: float = 5.0
    clock_seconds: float = 1.0
    ballast_bytes: int = 0
