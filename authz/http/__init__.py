"""HTTP: the decision listener, the admin listener, and the witness's."""

from authz.http.app import Listeners, serve
from authz.http.openapi import decision_document
from authz.http.samples import sample_requests
from authz.http.witness import RunningWitness, serve_witness

__all__ = ["Listeners", "RunningWitness", "decision_document", "sample_requests", "serve", "serve_witness"]
