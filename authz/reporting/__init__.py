"""What callers report after the fact: read one by one, recorded once, durable before it is answered."""

from authz.reporting.configured import open_reporter
from authz.reporting.ports import Item, Report, Reports
from authz.reporting.reporter import Reporter
from authz.reporting.seen import Seen

__all__ = ["Item", "Report", "Reporter", "Reports", "Seen", "open_reporter"]
