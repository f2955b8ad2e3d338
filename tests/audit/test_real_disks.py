"""Disks that are really full, and a device that really loses a page."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, missing

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def in_mounts_of_its_own(setup: str, *arguments: str, namespaces: Sequence[str]) -> Any:
    """Run a Python program where the shell commands of `setup` have mounted something; what it said, decoded."""
    script = f'set -e; {setup}; exec "$@"'
    command = ["unshare", *namespaces, "sh", "-c", script, "sh", sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def may_mount(directory: Path) -> Sequence[str]:
    """The namespaces in which a small file system can be mounted; skips the test where there are none."""
    directory.mkdir()
    ways = [["-Urm"], ["-m"]] if shutil.which("unshare") else []
    tried = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    possible = [
        way
        for way in ways
        if subprocess.run(["unshare", *way, *tried], check=False, capture_output=True).returncode == 0
    ]
    if not possible:
        missing("a way to mount a small file system (unshare)")
    return possible[0]


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("how", ["room", "end"])
def test_a_disk_that_is_full_refuses_all_and_loses_nothing(tmp_path: Path, how: str) -> None:
    """Every record is refused while it is full; with room again, or at the end by the ballast, it goes on in order."""
    disk = tmp_path / "disk"
    namespaces = may_mount(disk)
    setup = f"mount -t tmpfs -o size=512k tmpfs {disk}"
    found = in_mounts_of_its_own(setup, str(HERE / "small_disk.py"), str(disk), how, namespaces=namespaces)
    assert found.pop("told") > 100
    assert found == {
        "why": "The record is not durable: [Errno 28] No space left on device",
        "refused_while_full": 50,
        "last": "",
        "told_and_kept": True,
        "closed_by": "audit.segment_close",
        "issues": [],
    }


def test_lines_that_a_failed_fdatasync_left_in_the_page_cache_are_not_adopted(tmp_path: Path) -> None:
    """On a real ext4 whose device is full: ordinary reads show the record, the device and the next life do not."""
    device, disk = tmp_path / "device", tmp_path / "disk"
    device.mkdir()
    disk.mkdir()
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        missing("root, loop devices and mkfs.ext4")
    setup = f"""
        mount -t tmpfs -o size=24m tmpfs {device}
        truncate -s 64m {device}/image
        mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0 {device}/image
        mount -o loop {device}/image {disk}"""
    found = in_mounts_of_its_own(setup, str(HERE / "lost_page.py"), str(device), str(disk), namespaces=["-m"])
    assert found == {
        "in_cache": True,
        "on_device": False,
        "adopted": False,
        "told_are_kept": True,
        "past_cache": True,
        "issues": [],
    }
