"""An operator with a kind of its own: a Backup has a schedule, and while it exists something looks
after it. `test_kopf.py` runs it as a process."""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import config

GROUP, VERSION, PLURAL = "example.com", "v1", "backups"


@kopf.on.startup()
def connect(settings: kopf.OperatorSettings, **_: Any) -> None:
    load: Any = config.load_kube_config
    load()
    settings.persistence.finalizer = "example.com/backups"
    settings.posting.enabled = False


@kopf.on.create(GROUP, VERSION, PLURAL)
def create(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    patch.status["schedule"] = spec["schedule"]
    patch.status["phase"] = "Scheduled"


@kopf.on.update(GROUP, VERSION, PLURAL, field="spec.schedule")
def update(new: Any, patch: kopf.Patch, **_: Any) -> None:
    patch.status["schedule"] = new
    patch.status["phase"] = "Rescheduled"


@kopf.daemon(GROUP, VERSION, PLURAL)
async def look_after(stopped: kopf.DaemonStopped, patch: kopf.Patch, logger: Any, **_: Any) -> None:
    logger.info("looking after it")
    await stopped.wait()
    logger.info("not any more")


@kopf.on.delete(GROUP, VERSION, PLURAL)
def delete(spec: kopf.Spec, logger: Any, **_: Any) -> None:
    logger.info("removed what was kept at %s", spec["schedule"])
