"""Where a record lies, told beside what it says."""

from typing import Any


def placed(fields: dict[str, Any], stream: str) -> dict[str, Any]:
    """The fields of a record as searches answer them: last, as `stream`, the stream that the record lies in.

    The auditor's records speak of streams that they do not lie in (`audit.damaged`, `audit.prune`): what a record
    itself calls `stream` is `about_stream` in an answer, at the same place, so that neither is lost.
    """
    if "stream" in fields:
        fields = {"about_stream" if name == "stream" else name: value for name, value in fields.items()}
    fields["stream"] = stream
    return fields
