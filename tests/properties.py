"""How many generated inputs a property test tries: few by default, thousands in `make test-full`."""

import os

from hypothesis import settings

many = settings(max_examples=int(os.environ.get("AUTHZ_TEST_EXAMPLES", "100")), deadline=None)
"""Decorates a property test, under `@given`."""
