"""The versions of the outside tools this project builds and tests with: the one place that names them.

Constants only: `tools/provision.py` runs this file by path before anything is installed.
"""

OPA = "1.22.2"
"""The `opa` that builds bundles. Another version may build other bytes from the same sources."""

OPA_MINIMUM = "1.21.3"
"""Older servers accept a stripped, altered bundle when `keyid` is not set (GHSA-g2pf-6v5v-qcc8)."""

REGAL = "0.42.0"
"""The linter of the policies."""

GO_MINIMUM = "1.26.0"
"""The oldest Go that compiles the two above."""
