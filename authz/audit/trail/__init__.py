"""The trail: every durable record of every stream, read once and handed to whoever works on records as they come.

It runs in a thread of the auditor's process, beside the rounds that sign, and never in their way. Each consumer keeps
its own place and goes on from there after whatever happened; one that fails is reported and holds up nobody.
"""

from authz.audit.trail.consumer import Consumer
from authz.audit.trail.place import Batch, Place, Record
from authz.audit.trail.trail import Trail

__all__ = ["Batch", "Consumer", "Place", "Record", "Trail"]
