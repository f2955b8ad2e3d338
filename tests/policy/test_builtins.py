"""The builtins that a policy may call."""

import json
import subprocess
from pathlib import Path
from typing import Any

from opapywasm import OpaWasmPolicy

from authz.bundle import Limits, unpack
from authz.policy import NATIVE

# What has no call of its own in the language: operators with another name, and what the compiler replaces.
_WRITTEN_OTHERWISE = {
    "assign",
    "eq",
    "internal.member_2",
    "internal.member_3",
    "internal.print",
    "internal.template_string",
    "internal.test_case",
    "print",
    "rego.metadata.chain",
    "rego.metadata.rule",
}


def call(builtin: dict[str, Any]) -> str:
    """A call of the builtin with arguments that nobody knows before it runs."""
    arguments = [f"input.a{index}" for index in range(len(builtin["decl"].get("args", [])))]
    return f"{builtin['name']}({', '.join([*arguments, '_'] if builtin.get('relation') else arguments)})"


def test_the_list_is_what_the_compiler_puts_into_the_guest(tmp_path: Path, opa_binary: Path) -> None:
    """A module that calls every builtin asks its host for exactly those that are not on the list."""
    said = subprocess.run([opa_binary, "capabilities", "--current"], capture_output=True, check=True)
    builtins = [builtin for builtin in json.loads(said.stdout)["builtins"] if not builtin.get("deprecated")]
    callable_ones = [builtin for builtin in builtins if builtin["name"] not in _WRITTEN_OTHERWISE]
    rules = [f'r["{builtin["name"]}"] if {call(builtin)}' for builtin in callable_ones]
    (tmp_path / "all.rego").write_text("package authz\n\n" + "\n".join(rules))
    subprocess.run(
        [opa_binary, "build", "-t", "wasm", "-e", "authz/r", "-o", "built", "-b", "."], cwd=tmp_path, check=True
    )
    module = OpaWasmPolicy.from_wasm_bytes(unpack((tmp_path / "built").read_bytes(), Limits())["policy.wasm"])
    hosted = set(module.builtins)
    module.close()

    assert {builtin["name"] for builtin in callable_ones} - hosted == NATIVE - _WRITTEN_OTHERWISE
