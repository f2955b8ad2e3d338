"""Starting a policy for one's own API: a directory to begin with, and routes from its OpenAPI document."""

from authz.policy.starting.document import Document, DocumentError, Operation, read_document
from authz.policy.starting.drift import Drift, compare
from authz.policy.starting.files import NotEmptyError, PolicyFiles, init
from authz.policy.starting.requirement import Requirement, Undecided
from authz.policy.starting.scaffold import new_role, new_route, new_scope

__all__ = [
    "Document",
    "DocumentError",
    "Drift",
    "NotEmptyError",
    "Operation",
    "PolicyFiles",
    "Requirement",
    "Undecided",
    "compare",
    "init",
    "new_role",
    "new_route",
    "new_scope",
    "read_document",
]
