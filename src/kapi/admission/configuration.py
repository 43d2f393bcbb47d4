"""`--admission-control-config-file`: what each admission plugin is configured with.

The file is an AdmissionConfiguration, whose plugins have their part inline or in files of their
own; paths are relative to the file. Two plugins may also have the whole file for themselves, in the
old form without a version. `options/parser.py` reads it to complain early, `server.py` to use it.
https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]
KIND = "AdmissionConfiguration"
VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
FILE_BYTES_MAX = 16 << 20
# Plugins whose configuration once was a file without kind and version, by its only key.
_LEGACY = {"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"}


class ConfigurationError(ValueError):
    """What is wrong with a file, in one line."""


def read(path: str) -> dict[str, Any]:
    """The decoded configuration by plugin name. Raises ConfigurationError."""
    if not path:
        return {}
    document = _load(Path(path))
    if "kind" not in document and "apiVersion" not in document:
        legacy = {name: document for key, name in _LEGACY.items() if key in document}
        if legacy:
            return legacy
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind != KIND or version not in VERSIONS:
        text = f'no kind "{kind}" is registered for version "{version}"; want {KIND}'
        raise ConfigurationError(f"{path}: {text} of {VERSIONS[0]}")
    out: dict[str, Any] = {}
    plugins = document.get("plugins") or []
    if not isinstance(plugins, list):
        raise ConfigurationError(f"{path}: plugins: must be a list")
    for index, plugin in enumerate(plugins):
        where = f"{path}: plugins[{index}]"
        if not isinstance(plugin, dict) or not isinstance(plugin.get("name", ""), str):
            raise ConfigurationError(f"{where}: must be an object with a name")
        name = plugin.get("name", "")
        if name in out:  # the first counts
            continue
        if plugin.get("configuration") is not None:
            out[name] = plugin["configuration"]
        elif plugin.get("path"):
            out[name] = _load(Path(path).parent / str(plugin["path"]))
    return out


def check(path: str, names: list[str], parsers: Mapping[str, Callable[[Any], object]]) -> None:
    """That the file can be read, and the parts of the plugins of these names. Raises
    ConfigurationError."""
    configured = read(path)
    for name in names:
        if name in parsers:
            try:
                parsers[name](configured.get(name))
            except ConfigurationError as error:
                raise ConfigurationError(f"{name}: {error}") from error


def typed(part: Any, kind: str, versions: tuple[str, ...]) -> Json:
    """A plugin's part, which says itself what it is. Raises ConfigurationError."""
    if not isinstance(part, dict):
        raise ConfigurationError("must be an object")
    if part.get("kind") != kind or part.get("apiVersion") not in versions:
        raise ConfigurationError(
            f'no kind "{part.get("kind")}" is registered for version '
            f'"{part.get("apiVersion")}"; want {kind} of {versions[0]}'
        )
    return part


def _load(path: Path) -> Json:
    from kapi.codec import yaml_format

    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    try:
        document, _ = yaml_format.loads(data)
    except yaml_format.YamlError as error:
        raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: must be an object")
    return document
