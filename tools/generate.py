"""Write the documentation that comes from the code: `python tools/generate.py`; --check says what is stale."""

import sys
from pathlib import Path

from authz import metrics, slos
from authz.config import reference
from authz.core import EVENT_TYPES, REASONS, REFUSALS
from authz.http import decision_document

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tools import dashboards  # noqa: E402 - a script's own folder is on the path, not the one above it

_NOTE = "<!-- Made by tools/generate.py from the code. Do not edit. -->"


def configuration() -> str:
    """docs/configuration.md."""
    return f"{_NOTE}\n\n# Configuration\n\n{reference()}\n"


def reasons() -> str:
    """docs/reasons.md."""
    lines = [_NOTE, "", "# Reasons", ""]
    lines += ["One code is the JSON field, the log field, the metric label and the row here.", ""]
    lines += ["| reason | `/check` | AuthZEN | said by | what a client may be told |", "|---|---|---|---|---|"]
    for code, row in REASONS.items():
        status = row.kind.value
        authzen = {200: "200 true", 503: "503"}.get(status, "200 false")
        lines.append(
            f"| `{code}` | {status} | {authzen} | {'policy' if row.by_policy else 'service'} | {row.client_text} |"
        )
    lines += ["", "Answers to calls that never became a question. They are counted, not recorded.", ""]
    lines += ["| code | status |", "|---|---|", *(f"| `{code}` | {status} |" for code, status in REFUSALS.items())]
    return "\n".join(lines) + "\n"


def events() -> str:
    """docs/events.md."""
    lines = [_NOTE, "", "# Event types", ""]
    lines += ["`reportable`: callers may report it. Everything else this service asserts itself.", ""]
    lines += ["| type | category | severity | required fields | reportable |", "|---|---|---|---|---|"]
    for name, row in EVENT_TYPES.items():
        required = ", ".join(f"`{field}`" for field in row.required)
        lines.append(f"| `{name}` | {row.category} | {row.severity} | {required} | {'yes' if row.reportable else ''} |")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """docs/metrics.md."""
    return f"{_NOTE}\n\n{metrics.reference(vars(metrics))}"


def openapi() -> str:
    """docs/openapi.json: the decision listener's."""
    return decision_document().decode()


def rules() -> str:
    """deploy/prometheus/rules.yml."""
    return slos.rules()


PAGES = {
    "deploy/grafana/overview.json": dashboards.overview,
    "deploy/grafana/on-call.json": dashboards.on_call,
    "deploy/prometheus/rules.yml": rules,
    "docs/openapi.json": openapi,
    "docs/configuration.md": configuration,
    "docs/reasons.md": reasons,
    "docs/events.md": events,
    "docs/metrics.md": metrics_page,
}


def main() -> int:
    """Write the pages, or with --check compare them; 1 if one is stale."""
    stale = 0
    for name, page in PAGES.items():
        path = ROOT / name
        if "--check" not in sys.argv[1:]:
            path.write_text(page(), encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page():
            print(f"{name} is stale: python tools/generate.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
