"""Refusals quote empty lists and maps as they were written, in a body or by a patch."""

from __future__ import annotations

from typing import Any

from server_harness import running

Json = dict[str, Any]
SETS = "/apis/apps/v1/namespaces/default/replicasets"
REFUSED = (
    'ReplicaSet.apps "a" is invalid: spec.template.metadata.labels: Invalid value: {}: '
    "`selector` does not match template `labels`"
)


def replica_set(labels: Json | None) -> Json:
    template: Json = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    if labels is not None:
        template["metadata"] = {"labels": labels}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"metadata": {"name": "a"}, "spec": spec}


async def test_empty_labels_are_quoted() -> None:
    async with running() as run:
        for labels, shown in (({}, REFUSED), (None, REFUSED.replace("{}", "null"))):
            refused = await run.client("POST", SETS, replica_set(labels))
            assert (refused.status, refused.message) == (422, shown)
        assert (await run.client("POST", SETS, replica_set({"a": "b"}))).status == 201
        refused = await run.client("PUT", f"{SETS}/a", replica_set({}))
        assert (refused.status, refused.message) == (422, REFUSED)
        patch = {"spec": {"template": {"metadata": {"labels": {"a": None}}}}}
        for kind in ("merge-patch", "strategic-merge-patch"):
            refused = await run.client(
                "PATCH", f"{SETS}/a", patch, content_type=f"application/{kind}+json"
            )
            assert (refused.status, refused.message) == (422, REFUSED), kind
