"""The program as a user runs it: what it prints, what it refuses, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from authz import identity
from authz.audit import get_audit_events
from tests.conftest import ROOT, missing
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BUNDLE = ROOT / "bundles" / "default.tar.gz"


def authz(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "authz", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


def test_it_says_where_it_listens_and_how_to_try_it(running: Sidecar) -> None:
    """The first line on stdout is JSON with both addresses; both pasted curl commands do what they say."""
    if shutil.which("curl") is None:
        missing("curl")
    wait_for("two samples", lambda: running.logs().count("  curl") == 2)
    samples = [line.strip() for line in running.logs().splitlines() if line.startswith("  curl")]

    answers = [
        json.loads(subprocess.run(sample, shell=True, capture_output=True, check=True).stdout) for sample in samples
    ]

    assert [(a["decision"], a["context"]["reason"]) for a in answers] == [
        (True, "scope_granted"),
        (False, "scope_missing"),
    ]


def test_it_ends_in_order(tmp_path: Path) -> None:
    """SIGTERM ends it with 0, and the ledger's last words are a shutdown and a sealed segment."""
    with sidecar(tmp_path / "state") as running:
        code = running.stop(signal.SIGTERM)

    events = get_audit_events(limit=2, path=tmp_path / "state" / "audit" / "worker-0")
    assert (code, [event["type"] for event in events]) == (0, ["audit.segment_close", "system.shutdown"])
    assert events[1]["reason"] == "SIGTERM"


def test_a_second_process_on_the_same_state_is_refused(running: Sidecar) -> None:
    """Two processes never write one stream: the second says so and ends with 2."""
    second = authz(
        "serve", "--dev", "--state", str(running.state), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"
    )

    assert (second.returncode, second.stdout) == (2, "")
    assert "another process" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "issuers is not stated. Add to the configuration:"),
        (["--dev", "--listen", "0.0.0.0:0"], "listen: --dev serves loopback and Unix sockets only, not 0.0.0.0:0"),
        (["--dev", "--listen", "nonsense"], "listen: 'nonsense' is neither HOST:PORT nor unix:PATH"),
        (["--dev", "--workers", "2"], "workers: "),
        (["--dev", "--engine", "rego"], "engine: "),
        (["--dev", "--policy", "/does/not/exist"], "policy.source: "),
        (["--config", "/does/not/exist"], "/does/not/exist: cannot be read: No such file or directory"),
    ],
)
def test_a_start_that_is_refused_says_what_to_do(tmp_path: Path, arguments: list[str], says: str) -> None:
    """Wrong or missing settings end with 2 and one message that names the key; there is no traceback."""
    refused = authz("serve", "--state", str(tmp_path / "state"), *arguments)

    assert (refused.returncode, refused.stdout, refused.stderr[: 7 + len(says)]) == (2, "", f"authz: {says}")
    assert "Traceback" not in refused.stderr


def test_production_starts_with_what_config_init_asks_for(tmp_path: Path) -> None:
    """`config init` writes what has to be stated; filled in, `config check` accepts it and the service decides."""
    state, key, keys = tmp_path / "state", tmp_path / "pseudonym.key", tmp_path / "jwks.json"
    keys.write_bytes(Path(identity.dev_issuer(tmp_path / "dev").keys).read_bytes())
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    file = tmp_path / "authz.toml"
    assert authz("config", "init", str(file)).returncode == 0
    text = file.read_text()
    for asked, filled in (
        ('"/var/lib/authz"', f'"{state}"'),
        ('"/etc/authz/pseudonym.key"', f'"{key}"'),
        ('"https://idp.example/realms/main"', '"https://dev.authz.invalid"'),
        ('"https://idp.example/realms/main/protocol/openid-connect/certs"', f'"{keys}"'),
        ('["RS256"]', '["EdDSA"]'),
        ('["api"]', '["authz-dev"]'),
    ):
        assert asked in text
        text = text.replace(asked, filled)
    file.write_text(text)

    checked = authz("config", "check", str(file))
    token = authz("token", "--state", str(tmp_path / "dev"), "--sub", "alice", "--role", "user_basic").stdout.strip()
    with sidecar(state, "--config", str(file)) as running:
        common = ("check", "--url", running.decision, "--method", "GET", "--path", "/memory")
        by_token = authz(*common, "--token", token)
        by_word = authz(*common, "--sub", "alice", "--role", "user_basic")

    assert (checked.returncode, by_token.returncode, by_word.returncode) == (0, 0, 1)


def test_check_answers_by_exit_code(running: Sidecar) -> None:
    """0 allow, 1 deny, 3 could not decide, 2 usage; with a bundle it needs no service."""
    asked = ("--method", "GET", "--path", "/memory")
    alice = ("--sub", "alice", "--role", "user_basic")
    online = ("check", "--url", running.decision)
    offline = ("check", "--policy", str(BUNDLE))
    runs = [
        authz(*online, *asked, *alice),
        authz(*online, "--method", "PUT", "--path", "/admin/config", *alice),
        authz(*online, *asked, "--token", running.token("alice", "user_basic")),
        authz(*offline, *asked, *alice),
        authz(*offline, "--method", "GET", "--path", "/users/bob/profile", *alice),
        authz("check", "--url", "http://127.0.0.1:9", *asked, *alice),
        authz("check", *asked, *alice),
        authz(*offline, *asked, "--token", "x"),
    ]

    assert [run.returncode for run in runs] == [0, 1, 0, 0, 1, 3, 2, 2]


def test_check_explains(running: Sidecar) -> None:
    """`--explain` says why, and `--json` says it for programs; service and bundle say the same."""
    asked = ("--method", "GET", "--path", "/users/bob/profile", "--sub", "alice", "--role", "user_basic")
    answers = [
        msgspec.json.decode(authz("check", *where, *asked, "--explain", "--json").stdout)
        for where in (("--url", running.decision), ("--policy", str(BUNDLE)))
    ]

    for answer in answers:
        answer["context"].pop("id")
    assert answers[0] == answers[1]
    assert (answers[0]["allow"], answers[0]["context"]["reason"]) == (False, "not_owner")
    text = authz("check", "--url", running.decision, *asked, "--explain").stdout
    assert text.splitlines()[0] == "deny"
    assert "  reason: not_owner" in text


def test_a_unix_socket_serves_too(tmp_path: Path) -> None:
    """`unix:PATH` listens there, for this user only."""
    socket = tmp_path / "d.sock"
    with sidecar(tmp_path / "state", "--dev", "--listen", f"unix:{socket}") as running:
        answered = authz(
            "check", "--url", running.decision, "--method", "GET", "--path", "/memory", "--sub", "a", "--role", "admin"
        )
        mode = socket.stat().st_mode & 0o777

    assert (running.decision, mode, answered.stdout) == (f"unix:{socket}", 0o600, "deny\n")


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    """AUTHZ_* variables count, and an unknown one is refused by name."""
    refused = authz("serve", "--dev", environment={"AUTHZ_AUDT__MODE": "strict"})
    with sidecar(tmp_path / "state", environment={"AUTHZ_DEV": "true", "AUTHZ_LOG__LEVEL": "error"}) as running:
        started = running.decision.startswith("http://127.0.0.1:")

    assert (refused.returncode, refused.stderr) == (
        2,
        "authz: unknown setting `audt` (from AUTHZ_AUDT__MODE); did you mean `audit`?\n",
    )
    assert started
