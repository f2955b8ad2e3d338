"""Requests to paste, for whoever starts the service for the first time."""


def sample_requests(decision: str) -> str:
    """A `curl` for an allow and one for a deny, against the decision listener's address."""
    socket = f" --unix-socket {decision.removeprefix('unix:')}" if decision.startswith("unix:") else ""
    command = f"curl -s{socket} '{'http://localhost' if socket else decision}"
    return "\n".join(
        (
            "An allow:",
            _curl(command, "GET", "/memory"),
            "A deny:",
            _curl(command, "PUT", "/admin/config"),
        )
    )


def _curl(command: str, method: str, path: str) -> str:
    subject = '{"type":"user","id":"alice","properties":{"roles":["user_basic"]}}'
    resource = f'{{"type":"route","id":"{path}"}}'
    body = f'{{"subject":{subject},"action":{{"name":"{method}"}},"resource":{resource}}}'
    return f"  {command}/access/v1/evaluation?explain=true' -H 'Content-Type: application/json' -d '{body}'"
