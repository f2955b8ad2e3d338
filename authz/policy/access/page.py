"""A table, or two compared, as one HTML page that needs nothing else: no network, no server."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import msgspec

from authz.policy.access.comparing import Compared, Matrix
from authz.policy.access.table import Holder, Questions, Request, Table
from authz.policy.access.words import in_words

_DATA = "{{DATA}}"


def matrix_page(matrix: Matrix, name: str) -> str:
    """The page of one policy."""
    rows = list(_rows(matrix.asked, None, matrix.table))
    return _page(
        {"title": f"{name}, revision {matrix.table.revision}", "compared": False, "rows": rows, "changes": []},
        matrix.asked,
    )


def difference_page(compared: Compared, old: str, new: str) -> str:
    """The page of two policies: the new one's table with what it gains and loses, and the same in words."""
    changes = [
        {"kind": change.kind, "holder": _holder(change.holder), "text": str(change)}
        for change in compared.difference.changes
    ]
    title = f"{old} ({compared.old.revision}) to {new} ({compared.new.revision})"
    rows = list(_rows(compared.asked, compared.old, compared.new))
    return _page({"title": title, "compared": True, "rows": rows, "changes": changes}, compared.asked)


def _page(content: dict[str, Any], asked: Questions) -> str:
    content["holders"] = [_holder(holder) for holder in asked.holders]
    template = files("authz.policy.access").joinpath("page.html").read_text(encoding="utf-8")
    # Inside <script> only `<` could end the element.
    data = msgspec.json.encode(content).decode().replace("<", "\\u003c")
    return template.replace(_DATA, data)


def _holder(holder: Holder) -> dict[str, str]:
    return {"kind": holder.kind, "name": str(holder)}


def _rows(asked: Questions, old: Table | None, new: Table) -> Iterator[dict[str, Any]]:
    for request in asked.requests:
        cells = [_cell(asked, request, old, new, holder) for holder in asked.holders]
        yield {"kind": request.kind, "name": str(request), "cells": cells}


def _cell(asked: Questions, request: Request, old: Table | None, new: Table, holder: Holder) -> list[str | None]:
    """[when it passes now, when it gains, when it loses]: None for never, empty for always."""
    grid, after = asked.grid(request), new.cells[holder, request]
    before = after if old is None else old.cells[holder, request]

    def said(chosen: int) -> str | None:
        return in_words(grid, chosen) if chosen else None

    return [said(after), said(after & ~before), said(before & ~after)]
