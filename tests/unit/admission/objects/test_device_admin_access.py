"""Where devices may be shared with who administers them."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.admission.objects.device_admin_access import GROUP, LABEL, DeviceAdminAccess
from kapi.admission.plugin import Attributes, Operation
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
LABELS: dict[str, Json] = {"open": {LABEL: "true"}, "odd": {LABEL: "yes"}, "shut": {}}
CLAIM: Json = {
    "devices": {"requests": [{"name": "a"}, {"name": "b", "exactly": {"adminAccess": True}}]}
}
GRANTED: Json = {"allocation": {"devices": {"results": [{"adminAccess": True}]}}}


async def live(plural: str, namespace: str, name: str) -> Json | None:
    return {"metadata": {"labels": LABELS[name]}} if name in LABELS else None


def write(
    body: Json,
    *,
    namespace: str = "shut",
    plural: str = "resourceclaims",
    operation: Operation = "CREATE",
    subresource: str = "",
    old: Json | None = None,
) -> Attributes:
    return Attributes(
        operation=operation,
        group=GROUP,
        version="v1",
        kind="K",
        resource=plural,
        subresource=subresource,
        namespace=namespace,
        name="c",
        object={"metadata": {"name": "c"}, **body},
        old=old,
        user=UserInfo("jane"),
        dry_run=False,
    )


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (write({"spec": CLAIM}), "spec.devices.requests[1].adminAccess"),
        (write({"spec": CLAIM}, namespace="odd"), "spec.devices.requests[1].adminAccess"),
        (write({"spec": CLAIM}, namespace="open"), ""),
        (write({"spec": {"devices": {}}}), ""),
        (
            write({"spec": {"spec": CLAIM}}, plural="resourceclaimtemplates"),
            "spec.devices.requests[1].adminAccess",
        ),
        (
            write({"status": GRANTED}, operation="UPDATE", subresource="status", old={}),
            "status.allocation.devices.results[0].adminAccess",
        ),
        (
            write(
                {"status": GRANTED},
                operation="UPDATE",
                subresource="status",
                old={"status": GRANTED},
            ),
            "",
        ),
    ],
)
async def test_who_may_share(given: Attributes, path: str) -> None:
    plugin = DeviceAdminAccess(live)
    assert plugin.handles(given.operation, given.group, given.resource, given.subresource)
    if not path:
        await plugin.validate(given)
        return
    with pytest.raises(ApiError) as e:
        await plugin.validate(given)
    assert e.value.message == (
        f'K.{GROUP} "c" is invalid: {path}: Forbidden: admin access to devices requires the '
        f"`{LABEL}: true` label on the containing namespace"
    )


def test_what_is_looked_at() -> None:
    plugin = DeviceAdminAccess(live)
    assert not plugin.handles("UPDATE", GROUP, "resourceclaims", "")
    assert not plugin.handles("CREATE", "", "pods", "")
