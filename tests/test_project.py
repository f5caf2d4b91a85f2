"""What holds for the project as a whole: packages, sizes, commands, lock files, and what no file may contain."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("duplex", "realtime", "http_compat", "web")
FOLDERS = (*PACKAGES, "tests", "bench", "conformance", "docs", "requirements", ".ci")
TARGETS = ("help", "setup", "run", "test", "conformance", "bench", "lock", "audit", "clean")
MOST_LINES = 400
BINARY = {".png", ".wav", ".jpg", ".pyc"}


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def text_files() -> Iterator[Path]:
    """What is, or will be, in the repository: the files beside the folders, and the folders we know."""
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]:
        if path.is_file() and path.suffix not in BINARY and "__pycache__" not in path.parts:
            yield path


def run_make(*words: str, path: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # Not the flags of the make that runs these tests: it hands them down in the environment.
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    environ["PATH"] = path or environ["PATH"]
    make = shutil.which("make")
    assert make is not None
    return subprocess.run([make, *words], cwd=cwd, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_has_one_owner(package: str) -> None:
    # The names are generic, and three of them exist on the package index: another owner would shadow or be shadowed.
    assert set(packages_distributions()[package]) == {"omni-duplex"}


def test_the_packages_that_exist_are_the_packages_installed() -> None:
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in modules() if path.name == "__init__.py"}
    assert set(pyproject()["tool"]["setuptools"]["packages"]) == found
    assert {".".join(path.parent.relative_to(ROOT).parts) for path in modules()} == found


def test_it_cannot_be_uploaded_by_mistake() -> None:
    assert "Private :: Do Not Upload" in pyproject()["project"]["classifiers"]


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_does_two_jobs(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_the_pure_modules_named_in_the_import_rules_exist() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    for name in (name for contract in contracts for name in contract.get("source_modules", [])):
        path = ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_has_no_effect(package: str) -> None:
    script = f"""
import asyncio, importlib, pkgutil, signal, threading
policy, handlers = asyncio.get_event_loop_policy(), [signal.getsignal(number) for number in signal.valid_signals()]
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(("__main__", ".launch")):
        importlib.import_module(module.name)
assert threading.active_count() == 1, threading.enumerate()
assert asyncio.get_event_loop_policy() is policy
assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
"""
    # -W: warnings would be output too, and those of other people's packages are not our effect.
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- lock files


def canonical(requirement: str) -> str:
    """The package's name, of a requirement such as `Uvloop>=1; sys_platform != 'win32'`, as the index writes it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def locked(name: str) -> dict[str, str]:
    """Package -> version line, of one lock file."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)[^\\\n]*(\\?)$", text, re.MULTILINE)
    assert lines
    assert all(continued for _, _, continued in lines), "every package has its hashes"
    return {canonical(package): version for package, version, _ in lines}


def wanted(*extras: str) -> set[str]:
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {canonical(line) for line in lines}


def test_the_lock_files_hold_every_dependency() -> None:
    assert wanted("build") <= locked("run").keys()
    assert wanted("build", "dev", "aec") <= locked("dev").keys()
    assert not {"pytest", "mypy", "ruff", "pywebrtc-audio"} & locked("run").keys()


def test_the_lock_files_agree() -> None:
    dev = locked("dev")
    assert {package: dev.get(package) for package in locked("run")} == locked("run")


def test_what_is_installed_is_what_the_project_asks_for() -> None:
    installed = {canonical(line) for line in requires("omni-duplex") or []}
    extras = pyproject()["project"]["optional-dependencies"]
    assert installed == wanted(*extras), "run `make setup` after a change of pyproject.toml"


# --- the two commands


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target: str) -> None:
    dry = run_make("-n", target)
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.strip()


def test_make_alone_explains_itself() -> None:
    printed = run_make().stdout
    for target in TARGETS:
        assert re.search(rf"^  {target} +\S", printed, re.MULTILINE), target


def test_make_runs_the_tests_last() -> None:
    # Their closing line is what whoever called it reads.
    lines = run_make("-n", "test").stdout.strip().splitlines()
    assert "-m pytest" in lines[-1]
    steps = ["ruff format", "ruff check", "mypy", "lint-imports", "node --test", "-m pytest"]
    assert [next(i for i, line in enumerate(lines) if step in line) for step in steps] == sorted(
        next(i for i, line in enumerate(lines) if step in line) for step in steps
    )


@pytest.mark.parametrize("folder", ["web/static", "conformance"])
def test_the_tests_of_page_modules_and_node_clients_are_found_by_their_pattern(folder: str) -> None:
    tests = ROOT / "tests" / folder
    assert sorted(tests.glob("*.test.mjs")) == sorted(tests.rglob("*.mjs")) != []
    assert f"tests/{folder}/*.test.mjs" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    old = executable(tmp_path / "python2", "exit 1")
    refused = run_make("setup", f"PYTHON={old}", cwd=tmp_path)
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0].startswith("omni-duplex needs Python 3.11 or newer")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (None, "The tests need Node.js 18 or newer, Chromium"),
        ("v16.1.0", "The tests need Node.js 18 or newer, and 'node' is v16.1.0."),
    ],
)
def test_a_missing_tool_is_an_error_and_nothing_is_skipped(tmp_path: Path, node: str | None, sentence: str) -> None:
    some_tools(tmp_path)
    if node is not None:
        executable(tmp_path / "node", f'test "$1" = --version && echo {node}')
    refused = run_make("tools", path=str(tmp_path))
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0].startswith(sentence)


def test_the_tools_of_this_machine_are_accepted(tmp_path: Path) -> None:
    some_tools(tmp_path)
    executable(tmp_path / "node", f'exec {shutil.which("node")} "$@"')
    accepted = run_make("tools", path=str(tmp_path))
    assert (accepted.returncode, accepted.stderr) == (0, "")


def test_the_step_that_failed_is_named(tmp_path: Path) -> None:
    script = tmp_path / "Makefile"
    macro = re.search(r"^step = .*$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert macro is not None
    script.write_text(f"{macro[0]}\nall:\n\t$(call step,first,true)\n\t$(call step,second,false)\n\t@echo third\n")
    failed = run_make("-f", str(script))
    assert failed.returncode != 0
    assert failed.stdout.splitlines() == ["== first", "== second"]
    assert "make test: the step 'second' failed" in failed.stderr


@pytest.mark.parametrize(("words", "code"), [((), 2), (("IF_REACHABLE=1",), 0)])
def test_an_audit_that_cannot_ask_says_so(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    executable(tmp_path / "cat", "exit 0")
    executable(tmp_path / "curl", "exit 6")
    done = run_make("audit", f"AUDIT_TOOLS={tmp_path}", *words, path=str(tmp_path))
    assert done.returncode == code
    assert done.stderr.startswith("make audit: nothing was checked, because https://")


@pytest.mark.parametrize("finds", [0, 1])
def test_an_audit_fails_for_a_weakness_in_any_lock(tmp_path: Path, finds: int) -> None:
    (tmp_path / "bin").mkdir()
    executable(tmp_path / "cat", "exit 0")
    executable(tmp_path / "curl", "exit 0")
    executable(tmp_path / "bin" / "pip-audit", f'echo "$@"; exit {finds}')
    done = run_make("audit", f"AUDIT_TOOLS={tmp_path}", "IF_REACHABLE=1", path=str(tmp_path))
    assert (done.returncode != 0) is bool(finds)
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert f"--requirement requirements/{lock.name}" in done.stdout


def test_ci_audits_talks_with_the_clients_then_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#!")
    assert lines[1] == "set -eu"
    assert lines[-3:] == ["make audit IF_REACHABLE=1", "make conformance", "exec make test"]
    assert len(lines) == 6


def some_tools(folder: Path) -> None:
    """A place without apt-get and without node, to be the whole PATH."""
    executable(folder / "id", "echo 1000")
    executable(folder / "chromium", "exit 0")
    executable(folder / "curl", "exit 0")
    # Make asks for the stamp of .venv before it does anything.
    executable(folder / "cat", "exit 0")


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


# --- what no file may contain


def test_no_file_knows_this_machine_or_a_package_host() -> None:
    # Written in halves, so that this file does not find itself.
    places = ["/ho" + "me/[a-z]", "/ro" + "ot/", "/Us" + "ers/[a-z]", "/wo" + "rk/(main|shared)", "/tmp/br" + "iefs"]
    hosts = ["pythonhos" + "ted", "pypi\\.o" + "rg", "registry\\.npm" + "js", "--index" + "-url", "--find" + "-links"]
    forbidden = re.compile("|".join([*places, *hosts]))
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in text_files()
        if (match := forbidden.search(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_changelog_has_this_version_and_room_for_the_next() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == pyproject()["project"]["version"]
