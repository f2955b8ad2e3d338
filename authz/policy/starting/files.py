"""The files of a policy directory: made anew, and added to without touching what stands there."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from authz.core import AuthzError
from authz.policy.starting.document import Operation

TEMPLATE: Final = Path(__file__).parents[2] / "policies"
"""The default policy's sources, which ship with the package."""

_ADMIN: Final = "admin"
_EMPTY: Final = "{}\n"


class NotEmptyError(AuthzError):
    """There is something already where a policy was to be made."""

    code = "not_empty"


def init(directory: Path) -> None:
    """Lay out a policy: the default rules, and of the data only what the admin listener needs. No routes.

    Raises NotEmptyError.
    """
    if directory.exists() and any(directory.iterdir()):
        raise NotEmptyError(f"{directory}: is not empty; choose another directory")
    shutil.copytree(TEMPLATE, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cases"))
    for section in ("roles", "scopes", "routes"):
        file = directory / "authz" / section / "data.yaml"
        heading, blocks = _blocks(file.read_text(encoding="utf-8"))
        kept = [text for name, text in blocks if name.partition(":")[0].startswith(_ADMIN)]
        file.write_text(heading + ("".join(kept) or _EMPTY), encoding="utf-8")


class PolicyFiles:
    """The data files of one policy directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, section: str) -> dict[str, Any]:
        """One section's data. Raises AuthzError when it cannot be read."""
        try:
            found = yaml.safe_load(self._file(section).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise NotEmptyError(f"{self._file(section)}: cannot be read: {error}") from None
        return found if isinstance(found, dict) else {}

    def add_scopes(self, scopes: Iterable[str], descriptions: Mapping[str, str]) -> list[str]:
        """Declare those that are not; which they were."""
        known = self.read("scopes")
        new = [scope for scope in dict.fromkeys(scopes) if scope not in known]
        lines = [f"{_quoted(each)}: {{description: {_quoted(descriptions.get(each) or each)}}}\n" for each in new]
        self._append("scopes", "".join(lines))
        return new

    def add_routes(self, operations: Iterable[Operation]) -> None:
        """Append routes, each with a requirement. A template that is there gets its new methods."""
        by_template: dict[str, list[str]] = {}
        for each in operations:
            by_template.setdefault(each.template, []).append(_entry(each))
        known = self.read("routes")
        for template, entries in by_template.items():
            if template in known:
                self._insert(template, entries)
        new = {template: entries for template, entries in by_template.items() if template not in known}
        self._append("routes", "".join(f"\n{_quoted(path)}:\n{''.join(lines)}" for path, lines in new.items()))

    def append(self, section: str, text: str) -> None:
        """Put text at the end of a section's file."""
        self._append(section, text)

    def _append(self, section: str, text: str) -> None:
        if not text:
            return
        file = self._file(section)
        there = file.read_text(encoding="utf-8")
        there = there.removesuffix(_EMPTY) if there.endswith("\n" + _EMPTY) else there
        file.write_text(there.rstrip("\n") + "\n" + text, encoding="utf-8")

    def _insert(self, template: str, entries: list[str]) -> None:
        """Right below the template's key, indented as what stands there."""
        file = self._file("routes")
        text = file.read_text(encoding="utf-8")
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
        key, value = next((k, v) for k, v in root.value if k.value == template)
        if value.flow_style:
            raise NotEmptyError(f"{file}:{key.start_mark.line + 1}: write {template} as a list of `- ` entries first")
        lines = text.splitlines(keepends=True)
        at = key.end_mark.line + 1
        indent = " " * value.start_mark.column
        lines[at:at] = [f"{indent}{entry.lstrip()}" for entry in entries]
        file.write_text("".join(lines), encoding="utf-8")

    def _file(self, section: str) -> Path:
        return self.directory / "authz" / section / "data.yaml"


def _entry(operation: Operation) -> str:
    asked = operation.requirement
    if asked is None:
        raise ValueError(f"{operation} is undecided")
    if asked.public:
        needs = "public: true"
    else:
        name, scopes = ("any_of", asked.any_of) if asked.any_of else ("all_of", asked.all_of)
        needs = f"{name}: [{', '.join(map(_quoted, scopes))}]"
    return f"  - {{methods: [{operation.method}], {needs}, event: api.request}}\n"


def _quoted(text: str) -> str:
    """As JSON, which is YAML too: no text can be mistaken for anything else."""
    return msgspec.json.encode(text).decode()


def _blocks(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The comment at the top, and each top-level key with its text."""
    heading, blocks = "", list[tuple[str, str]]()
    for line in text.splitlines(keepends=True):
        if line[:1] in ("#", "\n", " ") and not blocks:
            heading += line
        elif line[:1] in ("\n", " "):
            name, block = blocks[-1]
            blocks[-1] = (name, block + line)
        else:
            blocks.append((line, line))
    return heading, blocks
