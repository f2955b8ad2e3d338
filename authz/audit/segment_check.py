"""The segments of a stream against one another: who each says it is, what it follows and how much of that counts."""

from collections.abc import Callable, Sequence

from authz.audit.extent import Extent
from authz.audit.findings import Findings, Place
from authz.audit.prune_record import Pruned
from authz.audit.segment import SegmentOpen, first_seq


def explained_holes(found: Sequence[Extent], pruned: Callable[[int], Pruned | None]) -> Pruned | None:
    """The prune record by which the segments are gone that others speak of; of several holes, that of the last one.

    A segment under a legal hold stays though those around it go: the checks begin after it. Where a hole has no record
    they will meet it.
    """
    last = None
    for before, extent in zip([None, *found], found, strict=False):
        expected = before.path.name if before is not None else None
        if extent.opening is None or extent.opening.previous_segment == expected:
            continue
        record = pruned(first_seq(extent.path.name))
        if record is None:
            break
        last = record
    return last


def check_opening(extent: Extent, before: str | None, findings: Findings) -> bool:
    """The segment's own statement. False: there should be another segment before it, and there is none."""
    name, header, opening = extent.path.name, extent.header, extent.opening
    place = Place(name, 1, 0)
    if header is None or opening is None:
        findings.issue("segment_statement", place, "The segment does not begin with a segment_open record")
        return True
    if header.seq != first_seq(name):
        what = f"The segment begins with record {header.seq}, not as its name says"
        findings.issue("segment_statement", place, what)
    if opening.stream != findings.stream:
        findings.issue("segment_statement", place, f"The segment belongs to the stream {opening.stream!r}")
    if opening.previous_segment != before:
        findings.issue("segment_missing", place, f"It follows {opening.previous_segment}, which is not there")
        return False
    return True


def check_length(extent: Extent, after: SegmentOpen, findings: Findings) -> None:
    """The segment against the statement of the next one about it."""
    surplus = extent.size_bytes - extent.counted_bytes
    place = Place(extent.path.name, 0, extent.counted_bytes)
    if surplus < 0:
        findings.issue("segment_cut", place, f"{-surplus} bytes are missing at its end")
    elif surplus > 0 and after.reason != "recover":
        findings.issue("segment_grown", place, f"{surplus} bytes were added after its orderly end")
    elif surplus > 0:
        findings.note("ignored_tail", place, f"{surplus} bytes written before a failure: they do not count")
