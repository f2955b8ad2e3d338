"""How often: budgets of subjects and client addresses, kept here or shared with other sidecars."""

from authz.limits.budgets import Budgets, Spending
from authz.limits.configured import OpenLimiter, open_limiter
from authz.limits.limiter import LocalLimiter
from authz.limits.retries import Retries

__all__ = ["Budgets", "LocalLimiter", "OpenLimiter", "Retries", "Spending", "open_limiter"]
