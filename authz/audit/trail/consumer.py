"""What takes records from the trail, as a port."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from authz.audit.trail.place import Batch, Place


class Consumer(Protocol):
    """Works on records as they come. Every method is called in the trail's one thread.

    Whatever a method raises is reported, and the consumer is closed and opened anew after a while. A crash can come at
    any moment: it must be able to go on from the places it kept, so what it makes of a batch and the batch's place
    have to become durable together (one transaction), or the work has to bear being done twice.
    """

    @property
    def name(self) -> str:
        """Its name in status, log and metrics."""
        ...

    @property
    def begins(self) -> Literal["beginning", "end"]:
        """Where a consumer without any place begins: with all that is kept, or with what comes from now on.

        Streams that appear later are read from their beginning in both cases.
        """
        ...

    def open(self) -> Mapping[str, Place]:
        """Make ready; the place after the last record taken, of each stream of which one was kept."""
        ...

    def take(self, batch: Batch) -> None:
        """Work on these records and keep `batch.after` as the stream's place."""
        ...

    def kept(self, stream: str, segments: Sequence[str]) -> None:
        """These segments of a stream are there now, oldest first; called when they have changed, first of all at start.

        What is known of others was pruned. Segments are named as raw files, also where they are compressed.
        """
        ...

    def close(self) -> None:
        """Let go of everything. Called once for each `open` that was called, also where that failed."""
        ...
