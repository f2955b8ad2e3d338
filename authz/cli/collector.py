"""Python's garbage collector in processes that make many objects and hardly ever a cycle of them."""

import gc


def calm() -> None:
    """Look for cycles seldom.

    Looking took a quarter of a decision's time, and a seventh of what an event costs the auditor and its index.
    """
    gc.set_threshold(50_000, 20, 50)
