"""A server named by a kubeconfig file: where it is, whom to trust, and who we are.

For webhooks that are configured by such a file. Only what a server needs of it is read: the current
context's cluster and user, with a certificate of ours as files, or a token.
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kapi.codec import yaml_format
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.tls import Tls

Json = dict[str, Any]
_PORTS = {"https": 443, "http": 80}


class KubeconfigError(ValueError):
    """What is wrong with the file, in one line."""


@dataclass(frozen=True, slots=True)
class Server:
    """`url`: as messages show it; `path`: with its query, for the request line."""

    url: str
    path: str
    host: str
    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...]


def load(path: str) -> Server:
    """Raises KubeconfigError."""
    try:
        document, _ = yaml_format.loads(Path(path).read_bytes())
    except OSError as error:
        raise KubeconfigError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except yaml_format.YamlError as error:
        raise KubeconfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: must be an object")
    context = _named(document, "contexts", "context", document.get("current-context", ""))
    clusters = document.get("clusters") or [{}]
    cluster = _named(document, "clusters", "cluster", context.get("cluster", ""))
    if not context and len(clusters) == 1:
        cluster = clusters[0].get("cluster") or {}
    user = _named(document, "users", "user", context.get("user", ""))
    url = str(cluster.get("server", ""))
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise KubeconfigError(f"{path}: clusters: server: must be a URL")
    folder = Path(path).parent
    tls = _tls(folder, cluster, user) if parts.scheme == "https" else None
    port = parts.port or _PORTS[parts.scheme]
    token = user.get("token", "")
    headers = (("Authorization", f"Bearer {token}"),) if token else ()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Server(url, target, parts.netloc, Endpoint(parts.hostname, port, tls), headers)


def _named(document: Json, field: str, key: str, name: str) -> Json:
    for entry in document.get(field) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found: Json = entry.get(key) or {}
            return found
    return {}


def _tls(folder: Path, cluster: Json, user: Json) -> Tls:
    ca = None
    if cluster.get("certificate-authority-data"):
        ca = _decoded(cluster["certificate-authority-data"]).decode("ascii", "replace")
    elif cluster.get("certificate-authority"):
        where = folder / cluster["certificate-authority"]
        try:
            ca = where.read_text()
        except OSError as error:
            raise KubeconfigError(f"{where}: {(error.strerror or str(error)).lower()}") from error
    return Tls(
        ca,
        server_name=cluster.get("tls-server-name", ""),
        certificate=_file(folder, user, "client-certificate"),
        key=_file(folder, user, "client-key"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _file(folder: Path, user: Json, field: str) -> str:
    if user.get(f"{field}-data"):
        raise KubeconfigError(f"users: {field}-data: must be a file: {field}")
    return str(folder / user[field]) if user.get(field) else ""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KubeconfigError(f"illegal base64 data: {error}") from error
