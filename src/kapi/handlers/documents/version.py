"""`/version`: which Kubernetes API this is, and what serves it.

Clients decide by `major`, `minor` and `gitVersion` what they may use, so these are Kubernetes' own;
the part of `gitVersion` behind the plus and the fields about the build speak of kapi.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import kapi
from kapi.codec.negotiate import JSON, check_route
from kapi.errors import method_not_allowed, path_not_found
from kapi.handlers.documents.answers import raw_json
from kapi.messages import Request, Response

KUBERNETES = (1, 37, 2)  # the release whose API is served
OLDEST_COMPATIBLE_MINOR = 36

_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}  # as Go names them


def version_info() -> dict[str, Any]:
    """The document of `/version`, in the order of the real server's."""
    major, minor, patch = KUBERNETES
    machine = platform.machine()
    return {
        "major": str(major),
        "minor": str(minor),
        "emulationMajor": str(major),
        "emulationMinor": str(minor),
        "minCompatibilityMajor": str(major),
        "minCompatibilityMinor": str(OLDEST_COMPATIBLE_MINOR),
        "gitVersion": f"v{major}.{minor}.{patch}+kapi-{kapi.__version__}",
        "gitCommit": "",
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": sys.implementation.name,
        "platform": f"{sys.platform}/{_MACHINES.get(machine, machine)}",
    }


async def handle(request: Request) -> Response:
    """Always indented JSON, for GET only."""
    if request.path not in ("/version", "/version/"):
        raise path_not_found()
    if request.method != "GET":
        raise method_not_allowed()
    check_route(request.headers.get("accept"), (JSON,))
    return raw_json(version_info())
