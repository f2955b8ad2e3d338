"""A record as an event of the Open Cybersecurity Schema Framework: API Activity, class 6003, of OCSF 1.6.0.

OCSF has no class for the decisions of a policy decision point. API Activity comes closest: somebody asked for an
operation, and `actor.authorizations` says what was decided. The record itself stands in `raw_data`, byte for byte, with
its hash; what has no place in the schema is in there.
"""

from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final

from authz import __version__
from authz.audit import EVENT_TYPES, Recorded

VERSION: Final = "1.6.0"
_CLASS: Final = 6003

_ACTIVITIES: Final = {
    "POST": (1, "Create"),
    "GET": (2, "Read"),
    "HEAD": (2, "Read"),
    "PUT": (3, "Update"),
    "PATCH": (3, "Update"),
    "DELETE": (4, "Delete"),
}
_SEVERITIES: Final = {
    "info": (1, "Informational"),
    "warning": (3, "Medium"),
    "error": (4, "High"),
    "critical": (5, "Critical"),
}
_STATUSES: Final = {"allow": (1, "Success"), "deny": (2, "Failure"), "error": (2, "Failure")}


def api_activity(source: str, record: Recorded) -> dict[str, Any]:
    """The event. `source`: where it was exported from, `here` or a URL."""
    event = record.event
    activity_id, activity = _ACTIVITIES.get(str(event.get("action")), (99, str(event.get("action") or event["type"])))
    severity_id, severity = _severity(event)
    made = {
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": _CLASS,
        "class_name": "API Activity",
        "type_uid": _CLASS * 100 + activity_id,
        "type_name": f"API Activity: {activity if activity_id != 99 else 'Other'}",
        "severity_id": severity_id,
        "severity": severity,
        "time": _milliseconds(event["ts"]),
        "actor": _actor(event),
        "api": {"operation": event.get("operation") or event["type"], "service": {"name": "authz"}},
        "src_endpoint": _source_endpoint(event),
        "metadata": _metadata(source, record),
        "raw_data": record.line.decode(errors="replace"),
        "raw_data_hash": {"algorithm_id": 3, "algorithm": "SHA-256", "value": sha256(record.line).hexdigest()},
        "raw_data_size": len(record.line),
        **_outcome(event),
    }
    return made | _request(event)


def _milliseconds(ts: str) -> int:
    return int(datetime.fromisoformat(ts).timestamp() * 1000)


def _severity(event: dict[str, Any]) -> tuple[int, str]:
    known = EVENT_TYPES.get(event["type"])
    return _SEVERITIES[known.severity] if known is not None else (0, "Unknown")


def _actor(event: dict[str, Any]) -> dict[str, Any]:
    """Who asked, by pseudonym; the application that put the question is always there."""
    actor: dict[str, Any] = {"app_name": str(event.get("caller") or "authz")}
    if event.get("subject"):
        actor["user"] = {"uid": event["subject"], "type": str(event.get("subject_type") or "Unknown")}
    if event.get("session_id"):
        actor["session"] = {"uid": event["session_id"]}
    if event.get("decision"):
        policy = {"uid": str(event.get("revision") or ""), "name": str(event.get("reason") or "")}
        actor["authorizations"] = [{"decision": event["decision"], "policy": policy}]
    return actor


def _source_endpoint(event: dict[str, Any]) -> dict[str, Any]:
    """The schema takes nothing but an address as `ip`: one that was coarsened or sealed is in the record alone."""
    endpoint: dict[str, Any] = {"svc_name": str(event.get("caller") or "authz")}
    with suppress(ValueError):
        endpoint["ip"] = str(ip_address(str(event.get("ip"))))
    return endpoint


def _metadata(source: str, record: Recorded) -> dict[str, Any]:
    event = record.event
    metadata = {
        "version": VERSION,
        "product": {"name": "authz-sidecar", "vendor_name": "authz", "version": __version__},
        "uid": event["id"],
        "event_code": event["type"],
        "original_time": event["ts"],
        "log_name": record.stream,
        "log_provider": source,
        "sequence": event["seq"],
    }
    return metadata | ({"correlation_uid": event["trace_id"]} if event.get("trace_id") else {})


def _outcome(event: dict[str, Any]) -> dict[str, Any]:
    status = _STATUSES.get(str(event.get("decision")))
    if status is None:
        return {}
    reason = str(event.get("reason") or "")
    return {"status_id": status[0], "status": status[1], "status_code": reason, "status_detail": reason}


def _request(event: dict[str, Any]) -> dict[str, Any]:
    place = event.get("route") or event.get("path")
    if not place:
        return {}
    asked = {
        "http_method": event.get("action"),
        "uid": event.get("request_id"),
        "user_agent": event.get("user_agent"),
        "url": {"path": place} | ({"hostname": event["host"]} if event.get("host") else {}),
    }
    return {"http_request": {name: value for name, value in asked.items() if value}}
