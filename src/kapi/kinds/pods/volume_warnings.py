"""Warnings about the volumes of accepted pod specs: removed kinds, files in each other's way.

Called by `warnings.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kapi.errors import quote
from kapi.schema import quantity

Json = dict[str, Any]

# In the order in which a volume is looked through.
_OLD_VOLUMES: Mapping[str, str] = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "ephemeral": "",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN = {"storageos": "storageOS"}  # where a warning names a field otherwise


class _File(NamedTuple):
    path: str
    source: str  # where the file comes from; empty if the volume has one source

    def __str__(self) -> str:
        return f"{quote(self.path)} ({self.source})" if self.source else quote(self.path)


def volume_warnings(volumes: Sequence[Json], path: str) -> list[str]:
    out: list[str] = []
    for i, volume in enumerate(volumes):
        for name, text in _OLD_VOLUMES.items():
            source = volume.get(name)
            if source is None:
                continue
            where = f"{path}[{i}].{_SHOWN.get(name, name)}"
            if name == "ephemeral":
                template = source.get("volumeClaimTemplate") or {}
                out += claim_warnings(
                    template.get("spec") or {}, f"{where}.volumeClaimTemplate.spec"
                )
            else:
                out.append(f"{where}: {text}")
    for volume in volumes:
        out += _overlaps(volume)
    return out


def claim_warnings(spec: Json, path: str) -> list[str]:
    """Of the spec of a volume claim."""
    resources = spec.get("resources") or {}
    out: list[str] = []
    for field in ("requests", "limits"):
        out += fraction(resources.get(field) or {}, "storage", f"{path}.resources.{field}")
    return out


def fraction(amounts: Json, name: str, path: str) -> list[str]:
    """Of an amount of bytes that is no whole number."""
    amount = amounts.get(name)
    if amount is None:
        return []
    number = quantity.value(amount)
    if number == number.to_integral_value():
        return []
    return [f"{path}[{name}]: fractional byte value {quote(amount)} is invalid, must be an integer"]


# -- files in each other's way ----------------------------------------------------------------


def _overlaps(volume: Json) -> list[str]:
    """Files of one volume that would stand at the same place, or one below another."""
    title = quote(volume.get("name", ""))
    out: list[str] = []
    for field, kind, name in (
        ("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ):  # fmt: skip
        source = volume.get(field) or {}
        what = f"{kind} {quote(source.get(name, ''))}" if name else kind
        files = (_File(item.get("path", ""), "") for item in source.get("items") or ())
        out += _collisions(files, f"volume {title} ({what}): overlapping paths: ")
    projected = (volume.get("projected") or {}).get("sources") or ()
    out += [f"volume {title} (Projected) has no sources provided" for s in projected if not s]
    files = (file for source in projected for file in _projected_files(source))
    return out + _collisions(files, f"volume {title} (Projected): overlapping paths: ")


def _projected_files(source: Json) -> Iterator[_File]:
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "")):
        content = source.get(field) or {}
        if content.get("items"):
            what = f"{kind} {quote(content.get('name', ''))}" if kind else "DownwardAPI"
            for item in content["items"]:
                yield _File(item.get("path", ""), what)
            return
    token, bundle = source.get("serviceAccountToken"), source.get("clusterTrustBundle")
    certificate = source.get("podCertificate")
    if token is not None:
        yield _File(token.get("path", ""), "ServiceAccountToken")
    elif bundle is not None:
        name = bundle.get("name", bundle.get("signerName", ""))
        yield _File(bundle.get("path", ""), f"ClusterTrustBundle {quote(name)}")
    elif certificate is not None:
        for field, what in (
            ("certificateChainPath", "chain"), ("keyPath", "key"),
            ("credentialBundlePath", "credential bundle"),
        ):  # fmt: skip
            if certificate.get(field):
                yield _File(certificate[field], f"PodCertificate {what}")


def _collisions(files: Iterable[_File], title: str) -> list[str]:
    out: list[str] = []
    seen: list[_File] = []
    for found in files:
        file = _File(found.path.rstrip("/"), found.source)
        out += [f"{title}{file} with {other}" for other in seen if _meet(file.path, other.path)]
        seen.append(file)
    return out


def _meet(one: str, other: str) -> bool:
    if not one or not other:
        return False
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
