"""What a server without certificate flags makes for itself, once: a CA, a serving certificate,
the admin's client certificate, the key of service-account tokens, and a kubeconfig.

Layout below the data directory: `pki/{ca,apiserver,admin}.{crt,key}`, `pki/sa.{key,pub}`,
`pki/made.json` (what the certificates are for and until when) and `kubeconfig`. Directories are
0700, keys and kubeconfig 0600. Files are written whole or not at all. A later start reuses all of
it; a leaf that ends soon or lacks a name is made anew from the same CA. Flags win: what the user
brings is not made."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kapi.credentials.host_address import advertised
from kapi.options.table import DEFAULT_ISSUER, MEMORY, Options

RENEW_SECONDS = 30 * 86400  # a leaf with less life than this is made anew at start
ADMIN_USER = "kubernetes-admin"
ADMIN_GROUP = "system:masters"
CONTEXT = "kapi"
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


class CredentialsError(Exception):
    """The data directory cannot be used; the text is one line."""


@dataclass(slots=True)
class Credentials:
    """What the server runs with, and what must go when it stops."""

    options: Options
    kubeconfig: Path | None  # None: the user brought a CA whose key we do not have
    temporary: Path | None = None

    def remove_temporary(self) -> None:
        """Remove what `--data-dir :memory:` left on disk. May be called twice."""
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary = None


def prepare(options: Options, now: float) -> Credentials:
    """Options with every certificate and key in place. Raises CredentialsError."""
    temporary = None
    directory = Path(options.data_dir)
    if options.data_dir == MEMORY:
        temporary = directory = Path(tempfile.mkdtemp(prefix="kapi-"))
    try:
        return _prepare(options, directory, temporary, now)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        where = error.filename or directory
        raise CredentialsError(f"cannot write {where}: {error.strerror}") from error


def _prepare(options: Options, directory: Path, temporary: Path | None, now: float) -> Credentials:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = directory / "pki"
    pki.mkdir(mode=0o700, exist_ok=True)
    store = _Store(pki, now)
    own_serving = not options.tls_cert_file
    own_clients = own_serving and not options.client_ca_file
    bind = options.bind_address or ("127.0.0.1" if own_serving else "0.0.0.0")
    address = options.advertise_address or advertised(bind)
    changes: dict[str, Any] = {"bind_address": bind, "advertise_address": address}
    if own_serving:
        store.ensure_ca()
        store.ensure_leaf("apiserver", serving_names(options, bind, address))
        changes["tls_cert_file"] = str(pki / "apiserver.crt")
        changes["tls_private_key_file"] = str(pki / "apiserver.key")
        if not options.root_ca_file:
            changes["root_ca_file"] = str(pki / "ca.crt")
    if own_clients:
        store.ensure_leaf("admin", (ADMIN_GROUP, ADMIN_USER))
        changes["client_ca_file"] = str(pki / "ca.crt")
    if not options.service_account_signing_key_file:
        store.ensure_token_key()
        changes["service_account_signing_key_file"] = str(pki / "sa.key")
        changes["service_account_key_file"] = (str(pki / "sa.pub"),)
    elif not options.service_account_key_file:
        changes["service_account_key_file"] = (options.service_account_signing_key_file,)
    if not options.service_account_issuer:
        changes["service_account_issuer"] = (DEFAULT_ISSUER,)
    done = replace(options, **changes)
    path = Path(options.kubeconfig) if options.kubeconfig else directory / "kubeconfig"
    return Credentials(done, path if own_clients else None, temporary)


def serving_names(options: Options, bind: str, advertise: str) -> tuple[str, ...]:
    """What the serving certificate must be good for, sorted.

    An address that was not asked for only counts where the server listens on it: a host that moves
    between networks keeps its certificate.
    """
    local = ipaddress.ip_address(bind).is_loopback and not options.advertise_address
    names = {"localhost", "127.0.0.1", "::1", *SERVICE_NAMES}
    hostname = socket.gethostname()
    if hostname and hostname.isascii():
        names.add(hostname)
    for cidr in options.service_cluster_ip_range:
        names.add(str(ipaddress.ip_network(cidr)[1]))
    for address in (bind, "" if local else advertise, options.external_hostname):
        if address and address not in ("0.0.0.0", "::"):
            names.add(address)
    return tuple(sorted(names))


def export_line(path: Path) -> str:
    """What a shell runs to use the kubeconfig."""
    text = str(path)
    plain = all(c.isalnum() or c in "/._-+@:" for c in text)
    return f"export KUBECONFIG={text}" if plain else "export KUBECONFIG=" + _shell_quote(text)


def _shell_quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def write_kubeconfig(credentials: Credentials, host: str, port: int) -> None:
    """Write the admin's kubeconfig for a server that listens there. Raises CredentialsError."""
    path = credentials.kubeconfig
    assert path is not None
    certificate = Path(credentials.options.client_ca_file).parent / "admin.crt"
    try:
        document = kubeconfig(
            ca=Path(credentials.options.client_ca_file).read_bytes(),
            certificate=certificate.read_bytes(),
            key=certificate.with_suffix(".key").read_bytes(),
            server=f"https://{host}:{port}",
        )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, document)
    except OSError as error:
        raise CredentialsError(f"cannot write {path}: {error.strerror}") from error


def kubeconfig(*, ca: bytes, certificate: bytes, key: bytes, server: str) -> bytes:
    """A kubeconfig with everything in it. JSON is YAML; kubectl rewrites it as it likes."""
    cluster = {"certificate-authority-data": _base64(ca), "server": server}
    user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    context = {"cluster": CONTEXT, "user": ADMIN_USER}
    lines = [
        "apiVersion: v1",
        "clusters:",
        *_entry("cluster", cluster, CONTEXT),
        "contexts:",
        *_entry("context", context, CONTEXT),
        f"current-context: {CONTEXT}",
        "kind: Config",
        "users:",
        *_entry("user", user, ADMIN_USER),
    ]
    return ("\n".join(lines) + "\n").encode()


def _entry(kind: str, fields: dict[str, str], name: str) -> list[str]:
    body = [f"    {key}: {value}" for key, value in fields.items()]
    return [f"- {kind}:", *body, f"  name: {name}"]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write_private(path: Path, data: bytes) -> None:
    """Put a file with mode 0600 in place, whole or not at all."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class _Store:
    """The `pki` directory. What is in `made.json` spares reading certificates at every start."""

    def __init__(self, directory: Path, now: float) -> None:
        self._directory = directory
        self._now = now
        self._made: dict[str, Any] = {}
        try:
            found = json.loads((directory / "made.json").read_text())
            self._made = found if isinstance(found, dict) else {}
        except (FileNotFoundError, ValueError):
            self._made = {}

    def ensure_ca(self) -> None:
        if self._has("ca.crt", "ca.key"):
            return
        from kapi.credentials import certificates

        self._made = {}  # no leaf of an older CA is good
        (self._directory / "made.json").unlink(missing_ok=True)
        self._write("ca", certificates.make_ca("kapi", self._now))

    def ensure_leaf(self, name: str, subject: Sequence[str]) -> None:
        """`apiserver` for names, or `admin` for group and user."""
        made = self._made.get(name)
        if (
            isinstance(made, dict)
            and made.get("for") == list(subject)
            and made.get("until", 0) > self._now + RENEW_SECONDS
            and self._has(f"{name}.crt", f"{name}.key")
        ):
            return
        from kapi.credentials import certificates

        ca = certificates.Pair(self._read("ca.crt"), self._read("ca.key"))
        if name == "admin":
            group, user = subject
            pair = certificates.make_client(ca, user, (group,), self._now)
        else:
            pair = certificates.make_serving(ca, subject, self._now)
        self._write(name, pair)
        until = int(certificates.good_until(pair.certificate))
        self._made[name] = {"for": list(subject), "until": until}
        write_private(self._directory / "made.json", json.dumps(self._made, indent=1).encode())

    def ensure_token_key(self) -> None:
        if self._has("sa.key", "sa.pub"):
            return
        from kapi.credentials import certificates

        key = self._read("sa.key") if self._has("sa.key") else certificates.make_token_key()
        write_private(self._directory / "sa.key", key)
        write_private(self._directory / "sa.pub", certificates.public_key_of(key))

    def _has(self, *names: str) -> bool:
        return all((self._directory / name).is_file() for name in names)

    def _read(self, name: str) -> bytes:
        return (self._directory / name).read_bytes()

    def _write(self, name: str, pair: Any) -> None:
        write_private(self._directory / f"{name}.key", pair.key)
        write_private(self._directory / f"{name}.crt", pair.certificate)
