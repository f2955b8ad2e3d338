"""Alarms: rules that look at decisions as they are recorded and say when one is out of the ordinary."""

from authz.audit.alarms.consumer import AlarmConsumer
from authz.audit.alarms.rules import RULE_NAMES
from authz.audit.alarms.trial import Trial, try_alarms
from authz.audit.alarms.watch import Suspicion, Watch

__all__ = ["RULE_NAMES", "AlarmConsumer", "Suspicion", "Trial", "Watch", "try_alarms"]
