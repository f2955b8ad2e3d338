"""The index: what finds events fast. Made from the segments, made again when it is gone, and evidence of nothing.

`<state>/index/events.<schema>.db`, SQLite. One process writes it, the auditor's, as a consumer of the trail; whoever
searches opens it read-only. A row says where a record lies and by which values it can be found; every answer is read
from the segment and held against the row and the chain.
"""

from authz.audit.index.reader import Index, IndexUnusableError, Refused, open_index
from authz.audit.index.writer import IndexWriter

__all__ = ["Index", "IndexUnusableError", "IndexWriter", "Refused", "open_index"]
