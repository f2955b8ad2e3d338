"""Where in the data files a value stands."""

from collections.abc import Iterator, Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from authz.policy.errors import BuildError, Problem
from authz.policy.sources import DATA_NAMES

DataPath = tuple[str | int, ...]
"""The way to a value in the data document: keys and indices."""


class Marks:
    """The lines of all data files of a policy."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        """Raises BuildError: not YAML, or a key that stands twice, of which OPA would quietly take the last."""
        self._roots: list[tuple[DataPath, str, Node]] = []
        problems: list[Problem] = []
        for name, content in sources.items():
            *folder, file = name.split("/")
            if file not in DATA_NAMES:
                continue
            root = _compose(name, content)
            if root is not None:
                self._roots.append((tuple(folder), name, root))
                problems += _repeated_keys(name, root)
        if problems:
            raise BuildError(problems)

    def problem(self, path: DataPath, message: str) -> Problem:
        """A problem with the value at `path`, placed as closely as the files tell."""
        _, file, line = max((self._reach(root, path) for root in self._roots), default=(0, ".", 1))
        return Problem(file, line, message)

    @staticmethod
    def _reach(root: tuple[DataPath, str, Node], path: DataPath) -> tuple[int, str, int]:
        """How far into `path` a file leads, the file, and the line where that is."""
        folder, file, node = root
        if path[: len(folder)] != folder:
            return 0, file, 1
        depth, line = len(folder), 1
        for key in path[len(folder) :]:
            step = _step(node, key)
            if step is None:
                break
            marked, node = step
            depth, line = depth + 1, marked.start_mark.line + 1
        return depth, file, line


def _compose(name: str, content: bytes) -> Node | None:
    try:
        return yaml.compose(content.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise BuildError([Problem(name, 1, f"not UTF-8: {error.reason}")]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BuildError([Problem(name, line, f"not YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise BuildError([Problem(name, 1, f"not YAML: {error}")]) from error


def _step(node: Node, key: str | int) -> tuple[Node, Node] | None:
    """The node that marks the place of `key` in `node`, and the one below it."""
    if isinstance(node, MappingNode):
        return next(((k, v) for k, v in node.value if isinstance(k, ScalarNode) and k.value == key), None)
    if isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def _repeated_keys(name: str, root: Node) -> Iterator[Problem]:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += node.value
        elif isinstance(node, MappingNode):
            waiting += [value for _, value in node.value]
            yield from _repeated(name, node)


def _repeated(name: str, node: MappingNode) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, ScalarNode) and lines.setdefault(key.value, line) != line:
            yield Problem(name, line, f"{key.value} is also on line {lines[key.value]} (keep one)")
