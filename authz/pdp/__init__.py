"""The composition root: Settings -> a running Pdp. The only room that picks implementations."""

from authz.pdp.offline import decide_offline
from authz.pdp.running import Pdp

__all__ = ["Pdp", "decide_offline"]
