"""The priority classes of the system stay, unless all are deleted at once."""

from __future__ import annotations

from server_harness import running

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


async def test_they_cannot_be_deleted_by_name() -> None:
    async with running() as run:
        name = "system-node-critical"
        refused = await run.client("DELETE", f"{CLASSES}/{name}")
        assert (refused.status, refused.message) == (
            403,
            f'priorityclasses.scheduling.k8s.io "{name}" is forbidden: this is a system priority '
            "class and cannot be deleted",
        )
        assert (await run.client("DELETE", f"{CLASSES}/absent")).status == 404
        assert (await run.client("DELETE", CLASSES)).status == 200
        assert (await run.client("GET", f"{CLASSES}/{name}")).status == 404
