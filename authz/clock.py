"""The machine's clocks."""

import time


class SystemClock:
    """Implements core.Clock on the machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.perf_counter)
