"""Checks at start that files named by flags exist and hold what they should, so that a typo costs
one line.

Called by `parser.py` for every such flag that was given, also for those without effect
yet."""

from __future__ import annotations

import csv
import ssl
from pathlib import Path

FILE_BYTES_MAX = 16 << 20  # certificates, keys and configuration are far smaller


class FileProblem(ValueError):
    """The file cannot be used; the text says which and why."""


def check(reads: str, path: str) -> None:
    """Raises FileProblem."""
    data = read(path)
    try:
        _CHECKS[reads](path, data)
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
        raise FileProblem(f"{path}: {_first_line(error)}") from error


def check_pair(certificate: str, key: str) -> None:
    """That the key is the certificate's. Raises FileProblem."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise FileProblem(f"{certificate} and {key}: {_first_line(error)}") from error


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise FileProblem(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise FileProblem(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return data


def _certificates(path: str, data: bytes) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise ValueError("holds no PEM certificate")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)


def _key(_path: str, data: bytes) -> None:
    from kapi.authentication.service_account_keys import load_private_key

    load_private_key(data)


def _public_keys(_path: str, data: bytes) -> None:
    from kapi.authentication.service_account_keys import load_public_keys

    load_public_keys(data)


def _yaml(_path: str, data: bytes) -> None:
    import yaml

    try:
        yaml.load(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {_first_line(error)}") from error


def _csv(_path: str, data: bytes) -> None:
    list(csv.reader(data.decode("utf-8-sig").splitlines(), strict=True))


def _any(_path: str, _data: bytes) -> None:
    return


def _first_line(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot load: {error.reason or error}".replace("_", " ").lower()
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


_CHECKS = {
    "certificate": _certificates,
    "ca": _certificates,
    "key": _key,
    "public keys": _public_keys,
    "yaml": _yaml,
    "csv": _csv,
    "file": _any,
}


def default_data_dir(env: dict[str, str], platform: str) -> Path:
    """kapi's folder where the platform keeps users' data."""
    home = Path(env.get("HOME") or "~").expanduser()
    if platform == "darwin":
        return home / "Library" / "Application Support" / "kapi"
    base = env.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else home / ".local" / "share") / "kapi"
