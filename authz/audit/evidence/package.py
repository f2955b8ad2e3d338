"""An evidence package: records that match a question, all it takes to check them, and the program that does."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from authz.audit.evidence import verify as verifier
from authz.audit.evidence.covered import Covered, NotCoveredError, covered, keys_path
from authz.audit.evidence.manifest import Manifest, PackedPolicy, PackedStream, digests, write_manifest
from authz.audit.evidence.policies import kept_policy
from authz.audit.evidence.rollup import NodeProof, key_rotations, node_proof
from authz.audit.evidence.selection import Progress, Selection, count, select
from authz.audit.evidence.zipped import zip_directory
from authz.audit.filters import Filter, read_filter
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, stream_directories
from authz.core import AuthzError

_PARTS: Final = Path(__file__).parent
"""Where the files lie that are the same in every package."""


class NothingToShowError(AuthzError):
    """No event matches."""

    code = "audit_nothing_to_show"


class Evidence(NamedTuple):
    """What was packed. `sha256`: of the manifest, which names every other file by its own."""

    manifest: Manifest
    sha256: str


def write_evidence(
    output: Path,
    filters: Mapping[str, Any],
    *,
    path: Path | str | None = None,
    params: Mapping[str, str] | None = None,
    compact: bool = False,
    progress: Progress = lambda _size_bytes: None,
) -> Evidence:
    """Write a zip of all events that match and are under a checkpoint; the filters are those of `get_audit_events`.

    With `compact`, stretches of withheld records are a few hashes and not one for each. The bytes are the same as
    long as ledger, checkpoints and filters are. The package has passed its own verification before it has its name.

    Raises BadRequestError that names the filter, NothingToShowError, NotCoveredError when events match and no
    checkpoint covers any of them, LedgerDamagedError, LedgerUnreadableError.
    """
    wanted = read_filter(filters, params)
    question = _question(filters, params or {}, wanted)
    directories = stream_directories(path)
    draft = output.with_name(f".{output.name}.new")
    try:
        with TemporaryDirectory(dir=output.absolute().parent, prefix=".evidence-") as work:
            packing = _Packing(Path(work), directories, wanted, progress, compact=compact)
            manifest = packing.fill(question)
            sha256 = write_manifest(Path(work), manifest)
            _verify(Path(work))
            zip_directory(Path(work), draft)
        draft.replace(output)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename or output}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            draft.unlink()
    return Evidence(manifest, sha256)


def _question(filters: Mapping[str, Any], params: Mapping[str, str], wanted: Filter) -> dict[str, str]:
    """The filters as they were meant: a time that was given relative to now is absolute here."""
    named = {**filters, **{f"param.{name}": value for name, value in params.items()}}
    question = {name: str(value) for name, value in named.items() if value is not None}
    return {**question, **{name: getattr(wanted, name) for name in ("since", "until") if name in question}}


class _Packing:
    """Fills a directory with the files of a package."""

    def __init__(
        self, work: Path, directories: list[Path], wanted: Filter, progress: Progress, *, compact: bool
    ) -> None:
        self._work = work
        self._directories = directories
        self._audit = directories[0].parent
        self._wanted = wanted
        self._progress = progress
        self._compact = compact
        self._uncovered = 0

    def fill(self, question: dict[str, str]) -> Manifest:
        """Everything but the manifest itself, which is returned. Raises as `write_evidence` does, and OSError."""
        node = node_proof(self._audit)
        selections = [found for each in self._directories if (found := self._stream(each, node)) is not None]
        self._refuse_nothing(selections)
        policies = [self._policy(revision) for revision in sorted(set().union(*(one.revisions for one in selections)))]
        self._put("README.txt", (_PARTS / "README.txt").read_bytes())
        self._put("verify.py", (_PARTS / "verify.py").read_bytes())
        if keys_path(self._audit).exists():
            self._put("public-keys", keys_path(self._audit).read_bytes())
        if rotations := key_rotations(self._audit):
            self._put("key-rotations", b"".join(line + b"\n" for line in rotations))
        if node is not None:
            self._put("node.tlog-proof", node.proof.write())
        return Manifest(
            question=question,
            compact=self._compact,
            node=node is not None,
            streams=[PackedStream.of(each) for each in selections],
            searched=[each.name for each in self._directories],
            uncovered=self._uncovered,
            policies=policies,
            files=digests(self._work),
        )

    def _stream(self, directory: Path, node: NodeProof | None) -> Selection | None:
        """The stream's records that match; None when none of them can be shown."""
        try:
            found = covered(directory)
        except NotCoveredError:
            self._uncovered += count(directory, self._wanted, self._progress)
            return None
        folder = self._work / "streams" / directory.name
        folder.mkdir(parents=True)
        edge = _edge(found, node)
        selection = select(found, self._wanted, edge, folder / "log", self._progress, compact=self._compact)
        self._uncovered += selection.uncovered
        if not selection.shown:
            (folder / "log").unlink()
            folder.rmdir()
            return None
        (folder / "checkpoint").write_bytes(found.note)
        return selection

    def _refuse_nothing(self, selections: list[Selection]) -> None:
        if selections:
            return
        if self._uncovered:
            raise NotCoveredError(
                f"{self._uncovered} events match, and no checkpoint covers any of them yet. "
                "The auditor signs about once a second; try again"
            )
        raise NothingToShowError("no event matches")

    def _policy(self, revision: str) -> PackedPolicy:
        kept = kept_policy(self._audit.parent, revision)
        packed = PackedPolicy.of(kept)
        if kept.archive is not None and packed.file is not None:
            self._put(packed.file, kept.archive)
        return packed

    def _put(self, name: str, content: bytes) -> None:
        path = self._work / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def _edge(found: Covered, node: NodeProof | None) -> int:
    """At which size the node states the stream's root, 0 where it does not."""
    size = 0 if node is None else node.sizes.get(found.checkpoint.origin, 0)
    if size > found.checkpoint.size:
        raise LedgerDamagedError(f"{found.stream}: its checkpoint is older than the node's roll-up")
    return size


def _verify(work: Path) -> None:
    """Nothing leaves that the program in it refuses. Raises LedgerDamagedError."""
    try:
        report = verifier.check_package(work, (), ())
    except (verifier.WrongError, verifier.UnknownError) as error:
        raise LedgerDamagedError(f"the package does not pass its own verification: {error}") from None
    faults = [sentence for kind, sentence in report.lines if kind == verifier.WRONG]
    if faults:
        raise LedgerDamagedError(f"the package does not pass its own verification: {faults[0]}")


def verify_evidence(package: Path, keys: Sequence[str] = (), witnesses: Sequence[str] = ()) -> int:
    """Check a package, a zip or a directory, with this installation's verify.py; it writes to stdout.

    Returns the exit code: 0 nothing is wrong, 1 something is, 3 could not find out.
    """
    options = [f"--public-key={key}" for key in keys] + [f"--witness={key}" for key in witnesses]
    return verifier.main([*options, "--", str(package)])
