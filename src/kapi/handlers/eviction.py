"""POST pods/NAME/eviction: delete a pod if its disruption budget allows, with a condition that says
why it goes.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kapi import errors
from kapi.cacher.event import Item
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError
from kapi.handlers.admission import SubresourceAdmission
from kapi.handlers.binding import created
from kapi.handlers.decode import Decoder, read_body
from kapi.handlers.notes import note_object
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.messages import Query, Request, Response
from kapi.registry.change import Change
from kapi.registry.delete import Deleter, Deletion
from kapi.registry.edits import copied
from kapi.registry.options import (
    DeleteOptions,
    Preconditions,
    WriteOptions,
    delete_options,
    write_options,
)
from kapi.registry.read import Reader
from kapi.registry.resource import GroupVersionKind, ResourceTable, ResourceType
from kapi.registry.write import Writer
from kapi.selector.label_selector import from_selector

Json = dict[str, Any]
DISRUPTED_PODS_MAX = 2000  # entries of a budget's disruptedPods, as the real server
RETRY_SECONDS = 10  # when the disruption controller has not seen the budget yet
ATTEMPTS_MAX = 20  # at a pod that changes all the while, as the real server
DISRUPTION = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


class EvictionHandler:
    def __init__(
        self,
        decoder: Decoder,
        writer: Writer,
        deleter: Deleter,
        reader: Reader,
        respond: Responder,
        table: ResourceTable,
        clock: Clock,
        admission: SubresourceAdmission,
    ) -> None:
        self._admission = admission
        self._decoder = decoder
        self._writer = writer
        self._deleter = deleter
        self._reader = reader
        self._respond = respond
        self._table = table
        self._clock = clock

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=False, target=target)
        data = await read_body(request)
        options = write_options(request.query, "CreateOptions")
        subresource = target.subresource
        assert subresource is not None
        assert subresource.schema is not None
        expected = subresource.kind
        content_type = request.headers.get("content-type")
        if b"policy/v1beta1" in data:  # the one kind whose older version is still read
            expected = GroupVersionKind("policy", "v1beta1", "Eviction")
        eviction, _ = await self._decoder.read(
            data,
            content_type,
            expected,
            subresource.schema(),
            field_validation=options.field_validation,
            warn=request.warn,
        )
        if request.audit.level:
            note_object(request, eviction)
        if (eviction.get("metadata") or {}).get("name", "") != target.name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        await self._admission.create(request, target, expected, eviction, options)
        wanted = delete_options(Query(""), eviction.get("deleteOptions") or {})
        if options.dry_run:
            wanted = delete_options(
                Query(""), {**(eviction.get("deleteOptions") or {}), "dryRun": ["All"]}
            )
        await self._evict(request, target, wanted)
        return self._respond.status(request, created(), accepted, 201)

    async def _evict(self, request: Request, target: Target, options: DeleteOptions) -> None:
        item = await self._unless_ignored(request, target, options)
        if item is None:
            return
        pod = item.object()
        budget = self._budget(target.namespace, pod)
        if budget is None:
            await self._remove(request, target, options)
            return
        meta = budget["metadata"]
        if _is_ready(pod) or not _lets_unready_go(budget):
            await self._spend(request, meta["namespace"], meta["name"], pod, options)
            await self._remove(request, target, options)
            return
        try:  # the budget counts for nothing as long as the pod is not ready
            await self._remove(request, target, _pinned(options, str(item.revision)))
        except ApiError as e:
            if e.code != 409 or options.preconditions.resource_version:
                raise
            raise _being_processed(meta["name"]) from None

    async def _unless_ignored(
        self, request: Request, target: Target, options: DeleteOptions
    ) -> Item | None:
        """The pod as it stands; None if no budget protects it, and it was deleted."""
        asked = options.preconditions.resource_version is not None
        for attempt in range(1, ATTEMPTS_MAX + 1):
            item = await self._reader.get(target.resource, target.namespace, target.name, Query(""))
            pod = item.object()
            if not _can_ignore_budgets(pod):
                return item
            # One that is not running yet may be ready, and counted, a moment later.
            racing = not asked and not _is_over(pod)
            seen = _pinned(options, str(item.revision)) if racing else options
            try:
                await self._remove(request, target, seen)
                return None
            except ApiError as e:
                if e.code != 409 or asked or attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError

    async def _remove(self, request: Request, target: Target, options: DeleteOptions) -> None:
        """Say on the pod what it is deleted for, and delete it."""
        assert request.user is not None
        if not options.dry_run:
            written = await self._writer.commit(
                Change(
                    resource=target.resource,
                    version=target.version,
                    namespace=target.namespace,
                    name=target.name,
                    propose=lambda current: self._disrupted(current, options.preconditions),
                    mode="patch",
                    options=WriteOptions(),
                    user=request.user,
                    manager=manager_name(request, ""),
                    subresource="status",
                    unmanaged=True,
                    admitted=True,
                )
            )
            if options.preconditions.resource_version:
                options = _pinned(options, written.object["metadata"]["resourceVersion"])
        await self._deleter.delete(
            Deletion(
                resource=target.resource,
                version=target.version,
                namespace=target.namespace,
                name=target.name,
                options=options,
                user=request.user,
                warn=request.warn,
                admitted=True,
            )
        )

    def _disrupted(self, current: Json | None, wanted: Preconditions) -> Json:
        assert current is not None
        meta = current["metadata"]
        for what, asked, held, since in (
            ("UID", wanted.uid, meta["uid"], "deleted and then recreated"),
            ("ResourceVersion", wanted.resource_version, meta["resourceVersion"], "modified"),
        ):
            if asked and asked != held:
                text = (
                    f"the {what} in the precondition ({asked}) does not match the {what} in record "
                    f"({held}). The object might have been {since}"
                )
                raise errors.conflict("", "Pod", meta["name"], text)
        pod: Json = copied(current)
        conditions = pod.setdefault("status", {}).get("conditions") or []
        at = next(
            (i for i, c in enumerate(conditions) if c.get("type") == DISRUPTION["type"]), None
        )
        before = {} if at is None else conditions[at]
        same = before.get("status") == DISRUPTION["status"]
        now = rfc3339(self._clock.now())
        condition = {
            **DISRUPTION,
            "lastProbeTime": None,
            "lastTransitionTime": before.get("lastTransitionTime") if same else now,
        }
        if at is None:
            pod["status"]["conditions"] = [*conditions, condition]
        else:
            conditions[at] = condition
        return pod

    def _budgets(self) -> ResourceType:
        budgets = self._table.get("policy", "poddisruptionbudgets")
        assert budgets is not None
        return budgets

    def _budget(self, namespace: str, pod: Json) -> Json | None:
        labels = pod["metadata"].get("labels") or {}
        found = [
            b
            for b in self._reader.lister(self._budgets()).list(namespace)
            if (s := from_selector(b["spec"].get("selector"))) is not None and s.matches(labels)
        ]
        if len(found) > 1:
            raise ApiError(
                500,
                "",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support.",
            )
        return found[0] if found else None

    async def _spend(
        self, request: Request, namespace: str, name: str, pod: Json, options: DeleteOptions
    ) -> None:
        """Take one disruption from the budget. Raises ApiError 429 if it has none."""
        budgets = self._budgets()
        pod_name = pod["metadata"]["name"]

        def propose(current: Json | None) -> Json:
            assert current is not None
            return self._spent(current, pod_name)

        assert request.user is not None
        await self._writer.commit(
            Change(
                resource=budgets,
                version=budgets.versions["v1"],
                namespace=namespace,
                name=name,
                propose=propose,
                mode="patch",
                options=WriteOptions(dry_run=options.dry_run),
                user=request.user,
                manager=manager_name(request, ""),
                subresource="status",
                unmanaged=True,
                admitted=True,
            )
        )

    def _spent(self, current: Json, pod_name: str) -> Json:
        budget: Json = copied(current)
        name, status = budget["metadata"]["name"], budget.setdefault("status", {})
        if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
            raise _being_processed(name)
        allowed = status.get("disruptionsAllowed", 0)
        if allowed < 0:
            raise errors.forbidden(
                "policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative"
            )
        if len(status.get("disruptedPods") or {}) > DISRUPTED_PODS_MAX:
            raise errors.forbidden(
                "policy",
                "poddisruptionbudgets",
                name,
                "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            )
        if allowed == 0:
            raise _refusal(
                f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy "
                f"pods and has {status.get('currentHealthy', 0)} currently",
                None,
            )
        status["disruptionsAllowed"] = allowed - 1
        if allowed == 1:
            _no_more(budget, rfc3339(self._clock.now()))
        pods = status.get("disruptedPods") or {}
        pods[pod_name] = rfc3339(self._clock.now())
        status["disruptedPods"] = dict(sorted(pods.items()))
        return budget


def _no_more(budget: Json, now: str) -> None:
    """The condition that says the budget is used up."""
    status = budget["status"]
    condition = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": now,
        "reason": "InsufficientPods",
        "message": "",
    }
    others = [c for c in status.get("conditions") or () if c.get("type") != condition["type"]]
    status["conditions"] = [*others, condition]


def _can_ignore_budgets(pod: Json) -> bool:
    """A pod that is over, not yet running, or already going disrupts nobody."""
    return _is_over(pod) or (pod.get("status") or {}).get("phase") == "Pending"


def _is_over(pod: Json) -> bool:
    phase = (pod.get("status") or {}).get("phase", "")
    return phase in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _lets_unready_go(budget: Json) -> bool:
    """https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy"""
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    return bool(status.get("currentHealthy", 0) >= desired > 0)


def _pinned(options: DeleteOptions, version: str) -> DeleteOptions:
    """The options for the pod as it was seen, and for no later one."""
    return replace(options, preconditions=replace(options.preconditions, resource_version=version))


def _being_processed(budget: str) -> ApiError:
    text = f"The disruption budget {budget} is still being processed by the server."
    return _refusal(text, RETRY_SECONDS)


def _refusal(cause: str, retry_after: int | None) -> ApiError:
    return ApiError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [{"reason": "DisruptionBudget", "message": cause}]},
        retry_after=retry_after,
    )
