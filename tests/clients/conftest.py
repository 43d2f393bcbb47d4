"""The server and the clients that all tests of this folder share."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
from clients_harness import Serving, Terminal, serving

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kubectl.py"
TEST_SECONDS = 90
_FOUND = pytest.StashKey[Path | str]()


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kubectl_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Many processes start in these tests: on a busy machine one may take a second or two."""
    for item in items:
        if item.get_closest_marker("client") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the binaries before the clocks of the tests run: the first time it is a download."""
    wanted = any("binaries" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.getoption("collectonly"):
        return
    script = _script()
    try:
        session.config.stash[_FOUND] = script.ensure()
    except script.Unavailable as problem:
        session.config.stash[_FOUND] = str(problem)


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Path:
    """The folder with kubectl and helm."""
    found = pytestconfig.stash[_FOUND]
    if isinstance(found, Path):
        return found
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(found)
    pytest.fail(found)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for the session; at its end it must have nothing to complain of."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    """Names of namespaces, never the same twice."""
    return (f"team-{i}" for i in count(1))


@pytest.fixture
def terminal(binaries: Path, server: Serving, names: Iterator[str], tmp_path: Path) -> Terminal:
    """kubectl and helm in a fresh namespace that has its default service account."""
    made = Terminal(binaries, tmp_path / "home", server)
    made.namespace = next(names)
    made.says(f"create namespace {made.namespace}")
    made.says(f"config set-context --current --namespace={made.namespace}")
    made.says("create serviceaccount default")
    return made
