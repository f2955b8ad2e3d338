"""Export: the records of a ledger for other tools, complete, in their order, and never half a file."""

from authz.export.cursor import Cursor, read_cursor
from authz.export.formats import FORMATS, PARQUET
from authz.export.remote import fetched
from authz.export.writing import Exported, export

__all__ = ["FORMATS", "PARQUET", "Cursor", "Exported", "export", "fetched", "read_cursor"]
