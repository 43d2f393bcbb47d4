"""A server named by a kubeconfig file: where it is, whom to trust, and who we are.

For webhooks that are configured by such a file. Only what a server needs of it is read: the current
context's cluster and user, with a certificate of ours, a token, or a password.
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kapi.codec import yaml_format
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.reviews import Server
from kapi.outgoing.tls import Tls

Json = dict[str, Any]
# What would change who we are or which way we go.
_NOT_DONE = ("exec", "auth-provider", "as", "proxy-url")
_PORTS = {"https": 443, "http": 80}


class KubeconfigError(ValueError):
    """What is wrong with the file, in one line."""


def load(path: str) -> Server:
    """Raises KubeconfigError."""
    try:
        return _read(path)
    except KubeconfigError:
        raise
    except (AttributeError, TypeError, ValueError) as error:  # a field of another type; a port
        raise KubeconfigError(f"{path}: {error}") from error


def _read(path: str) -> Server:
    try:
        document, _ = yaml_format.loads(Path(path).read_bytes())
    except OSError as error:
        raise KubeconfigError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except yaml_format.YamlError as error:
        raise KubeconfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: must be an object")
    context = _named(document, "contexts", "context", document.get("current-context", ""))
    clusters = [c for c in document.get("clusters") or () if isinstance(c, dict)]
    cluster = _named(document, "clusters", "cluster", context.get("cluster", ""))
    if not context and len(clusters) == 1:
        cluster = clusters[0].get("cluster") or {}
    user = _named(document, "users", "user", context.get("user", ""))
    for where, found in (("users", user), ("clusters", cluster)):
        for field in _NOT_DONE:
            if found.get(field):
                raise KubeconfigError(f"{path}: {where}: {field}: is not done here")
    url = str(cluster.get("server", ""))
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise KubeconfigError(f"{path}: clusters: server: must be a URL")
    folder = Path(path).parent
    tls = _tls(folder, cluster, user) if parts.scheme == "https" else None
    port = parts.port or _PORTS[parts.scheme]
    headers = _credentials(folder, user)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]  # a name and a password before it are nobody's to see
    shown = parts._replace(netloc=host).geturl()
    return Server(shown, target, host, Endpoint(parts.hostname, port, tls), headers)


def _named(document: Json, field: str, key: str, name: str) -> Json:
    for entry in document.get(field) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(key)
            return found if isinstance(found, dict) else {}
    return {}


def _credentials(folder: Path, user: Json) -> tuple[tuple[str, str], ...]:
    """The header that says who we are. A file wins over the token beside it, as in client-go."""
    token = user.get("token", "")
    if user.get("tokenFile"):
        token = _text(folder / user["tokenFile"]).strip()
    if token:
        return (("Authorization", f"Bearer {token}"),)
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return (("Authorization", f"Basic {base64.b64encode(pair).decode()}"),)
    return ()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        raise KubeconfigError(f"{path}: {reason.lower()}") from error


def _tls(folder: Path, cluster: Json, user: Json) -> Tls:
    ca = None
    if cluster.get("certificate-authority-data"):
        ca = _decoded(cluster["certificate-authority-data"]).decode("ascii", "replace")
    elif cluster.get("certificate-authority"):
        ca = _text(folder / cluster["certificate-authority"])
    return Tls(
        ca,
        server_name=cluster.get("tls-server-name", ""),
        certificate=_file(folder, user, "client-certificate"),
        key=_file(folder, user, "client-key"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _file(folder: Path, user: Json, field: str) -> str:
    if user.get(f"{field}-data"):
        text = _decoded(user[f"{field}-data"]).decode("ascii", "replace")
        if not text.startswith("-----BEGIN"):
            raise KubeconfigError(f"users: {field}-data: holds no PEM")
        return text
    if not user.get(field):
        return ""
    path = folder / user[field]
    if not path.is_file():
        raise KubeconfigError(f"{path}: no such file or directory")
    return str(path)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KubeconfigError(f"illegal base64 data: {error}") from error
