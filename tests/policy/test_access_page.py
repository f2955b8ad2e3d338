"""The page of a matrix and of a difference, in a real browser that has no network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from authz.policy.access import difference_of, difference_page, matrix_of, matrix_page
from tests.conftest import missing
from tests.policy.mutations import NOW
from tests.policy.test_access import shipped_data, with_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or missing("chromium")


def rendered(browser: str, page: str, room: Path) -> str:
    """The document as it stands after its script ran. Every host name fails to resolve meanwhile."""
    file = room / "page.html"
    file.write_text(page)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    options += [f"--user-data-dir={room / 'browser'}", "--virtual-time-budget=2000", "--dump-dom"]
    command = [browser, *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def texts(document: str, pattern: str) -> list[str]:
    """What stands in the elements that a pattern finds."""
    return [re.sub(r"<[^>]+>", "", found) for found in re.findall(pattern, document)]


async def test_gains_and_losses_are_told_and_coloured(chromium: str, opa_binary: Path, tmp_path: Path) -> None:
    """A reviewer sees in words and in the table who gains and who loses."""
    new = shipped_data()
    new["roles"]["caregiver_basic"]["scopes"].append("memory:write")
    new["roles"]["user_basic"]["scopes"].remove("ai:chat")
    sides = [with_data(d, name, tmp_path, opa_binary) for name, d in (("old", shipped_data()), ("new", new))]
    page = difference_page(await difference_of(sides[0], sides[1], now=NOW), "old", "<b>new")
    document = rendered(chromium, page, tmp_path)
    assert texts(document, r'<li class="gain">(.*?)</li>') == [
        "caregiver_basic GAINS memory:write",
        "caregiver_basic GAINS POST /memory",
        "caregiver_basic GAINS PUT /memory/{id}",
        "caregiver_basic GAINS DELETE /memory/{id}",
    ]
    assert texts(document, r'<li class="loss">(.*?)</li>') == [
        "user_basic LOSES ai:chat",
        "user_basic LOSES POST /ai/chat",
        "user_premium LOSES ai:chat through user_basic",
        "user_premium LOSES POST /ai/chat",
    ]
    assert texts(document, r'<td class="gain">(.*?)</td>') == ["+ gains"] * 4
    assert texts(document, r'<td class="loss">(.*?)</td>') == ["\N{MINUS SIGN} loses"] * 4
    assert "old (old) to &lt;b&gt;new (new)" in document


async def test_the_matrix_shows_every_role(chromium: str, opa_binary: Path, tmp_path: Path) -> None:
    """The page of one policy has a column for each role and a condition where there is one."""
    one = with_data(shipped_data(), "one", tmp_path, opa_binary)
    document = rendered(chromium, matrix_page(await matrix_of(one, now=NOW), "one"), tmp_path)
    head = re.search(r'<thead id="head">(.*?)</thead>', document)
    assert head is not None
    assert texts(head.group(1), r"<th>(.*?)</th>") == [
        "",
        "anyone",
        "admin",
        "admin_readonly",
        "caregiver_advanced",
        "caregiver_basic",
        "user_basic",
        "user_premium",
    ]
    row = re.search(r"<tr><th>GET /users/\{id\}/profile</th>(.*?)</tr>", document)
    assert row is not None
    own = "on their own {id}"
    assert texts(row.group(1), r"<td[^>]*>(.*?)</td>") == ["·", "yes", "yes", own, own, own, own]
