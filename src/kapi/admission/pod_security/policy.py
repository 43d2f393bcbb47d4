"""Which level of the pod security standards holds where: labels of a namespace, defaults,
exemptions.

Read by `pod_security.py`; the defaults and exemptions come from --admission-control-config-file.
https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from kapi import errors
from kapi.admission.configuration import ConfigurationError, typed
from kapi.admission.pod_security.levels import LATEST, LEVELS

Json = dict[str, Any]
LABEL = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
_GROUP = "pod-security.admission.config.k8s.io"
_VERSIONS = tuple(f"{_GROUP}/{v}" for v in ("v1", "v1beta1", "v1alpha1"))
_VERSION = re.compile(r"latest\Z|v1\.(0|[1-9][0-9]*)\Z", re.ASCII)
_LEVEL_TEXT = f"must be one of {', '.join(LEVELS)}"
_VERSION_TEXT = 'must be "latest" or "v1.x"'


class LevelVersion(NamedTuple):
    level: str
    version: str

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


PRIVILEGED = LevelVersion("privileged", LATEST)


class Policy(NamedTuple):
    enforce: LevelVersion = PRIVILEGED
    audit: LevelVersion = PRIVILEGED
    warn: LevelVersion = PRIVILEGED

    @property
    def free(self) -> bool:
        return all(mode.level == "privileged" for mode in self)

    def compact(self) -> str:
        """All but what allows everything: `enforce=baseline:latest, warn=…`."""
        pairs = zip(MODES, self, strict=True)
        return ", ".join(f"{mode}={at}" for mode, at in pairs if at.level != "privileged")


FREE = Policy()


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds without labels, and for whom nothing does."""

    defaults: Policy = FREE
    usernames: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


def configure(part: Any) -> Settings:
    """Raises ConfigurationError."""
    if part is None:
        return Settings()
    found = typed(part, "PodSecurityConfiguration", _VERSIONS)
    _only(found, ("kind", "apiVersion", "defaults", "exemptions"), "")
    defaults, exemptions = found.get("defaults") or {}, found.get("exemptions") or {}
    _only(defaults, (*MODES, *(f"{mode}-version" for mode in MODES)), "defaults")
    _only(exemptions, ("usernames", "runtimeClasses", "namespaces"), "exemptions")
    modes = []
    for mode in MODES:
        level = defaults.get(mode) or "privileged"
        version = defaults.get(f"{mode}-version") or LATEST
        if level not in LEVELS:
            raise ConfigurationError(
                str(errors.invalid_value(f"defaults.{mode}", level, _LEVEL_TEXT))
            )
        if not isinstance(version, str) or not _VERSION.match(version):
            where = f"defaults.{mode}-version"
            raise ConfigurationError(str(errors.invalid_value(where, version, _VERSION_TEXT)))
        modes.append(LevelVersion(level, version))
    return Settings(
        Policy(*modes),
        _names(exemptions, "usernames"),
        _names(exemptions, "runtimeClasses"),
        _names(exemptions, "namespaces"),
    )


def _only(found: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(found, dict):
        raise ConfigurationError(f"{where}: must be an object")
    for field in found:
        if field not in known:
            path = f"{where}.{field}" if where else field
            raise ConfigurationError(f'strict decoding error: unknown field "{path}"')


def _names(exemptions: Json, field: str) -> frozenset[str]:
    found = exemptions.get(field) or []
    if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
        raise ConfigurationError(f"exemptions.{field}: must be a list of names")
    if len(set(found)) < len(found):
        name = next(name for name in found if found.count(name) > 1)
        raise ConfigurationError(str(errors.duplicate(f"exemptions.{field}", name)))
    return frozenset(found)


def of_labels(labels: Json, defaults: Policy) -> Policy:
    """A level that does not exist is the strictest, a version that does not is the latest."""
    modes = []
    for mode, default in zip(MODES, defaults, strict=True):
        level = labels.get(LABEL + mode, default.level)
        version = labels.get(f"{LABEL}{mode}-version", default.version)
        modes.append(
            LevelVersion(
                level if level in LEVELS else "restricted",
                version if _VERSION.match(version) else LATEST,
            )
        )
    return Policy(*modes)


def findings(labels: Json) -> list[errors.FieldError]:
    """What is wrong with the labels of a namespace."""
    out: list[errors.FieldError] = []
    for mode in MODES:
        key = LABEL + mode
        level, version = labels.get(key), labels.get(f"{key}-version")
        if level is not None and level not in LEVELS:
            out.append(errors.invalid_value(f"metadata.labels[{key}]", level, _LEVEL_TEXT))
        if version is not None and not _VERSION.match(version):
            where = f"metadata.labels[{key}-version]"
            out.append(errors.invalid_value(where, version, _VERSION_TEXT))
    return out
