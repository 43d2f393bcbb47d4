"""POST of a Binding, to a pod's subresource or to `bindings`: the scheduler puts a pod on a node.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/binding-v1/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError
from kapi.handlers.admission import SubresourceAdmission
from kapi.handlers.decode import Decoder, read_body
from kapi.handlers.notes import note_object
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.messages import Request, Response
from kapi.registry.change import Change
from kapi.registry.conditions import precondition_failed
from kapi.registry.edits import copied
from kapi.registry.options import WriteOptions, write_options
from kapi.registry.resource import ResourceTable, ResourceType
from kapi.registry.write import Writer

Json = dict[str, Any]


class BindingHandler:
    def __init__(
        self,
        decoder: Decoder,
        writer: Writer,
        respond: Responder,
        table: ResourceTable,
        clock: Clock,
        admission: SubresourceAdmission,
    ) -> None:
        self._admission = admission
        self._decoder = decoder
        self._writer = writer
        self._respond = respond
        self._table = table
        self._clock = clock

    async def __call__(self, request: Request, target: Target) -> Response:
        """POST pods/NAME/binding."""
        accepted = self._respond.negotiate(request, transforms=False, target=target)
        data = await read_body(request)
        options = write_options(request.query, "CreateOptions")
        subresource = target.subresource
        assert subresource is not None
        assert subresource.schema is not None
        binding, _ = await self._decoder.read(
            data,
            request.headers.get("content-type"),
            subresource.kind,
            subresource.schema(),
            field_validation=options.field_validation,
            warn=request.warn,
        )
        if request.audit.level:
            note_object(request, binding)
        name = (binding.get("metadata") or {}).get("name", "")
        if name != target.name:
            raise errors.bad_request("name in URL does not match name in Binding object")
        await self._admission.create(request, target, subresource.kind, binding, options)
        await self.bind(request, target.namespace, target.name, binding, options)
        return self._respond.status(request, created(), accepted, 201)

    async def virtual(
        self, request: Request, target: Target, binding: Json, options: WriteOptions
    ) -> Json:
        """POST bindings."""
        name = (binding.get("metadata") or {}).get("name", "")
        await self.bind(request, target.namespace, name, binding, options)
        return created()

    async def bind(
        self, request: Request, namespace: str, name: str, binding: Json, options: WriteOptions
    ) -> None:
        node = _node(binding)
        pods = self._table.get("", "pods")
        assert pods is not None
        assert request.user is not None
        meta = binding.get("metadata") or {}

        def propose(current: Json | None) -> Json:
            assert current is not None
            _match(pods, meta, current["metadata"])
            return self._bound(current, node, meta)

        await self._writer.commit(
            Change(
                resource=pods,
                version=pods.versions["v1"],
                namespace=namespace,
                name=name,
                propose=propose,
                mode="patch",
                options=options,
                user=request.user,
                manager=manager_name(request, options.field_manager),
                subresource="binding",
                unmanaged=True,
                warn=request.warn,
                annotate=request.audit.annotate,
                admitted=True,
            )
        )

    def _bound(self, current: Json, chosen: str, meta: Json) -> Json:
        name = current["metadata"]["name"]
        if "deletionTimestamp" in current["metadata"]:
            raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
        if current["spec"].get("nodeName"):
            node = errors.quote(current["spec"]["nodeName"])
            raise _refused(name, f"pod {name} is already assigned to node {node}")
        if current["spec"].get("schedulingGates"):
            raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
        pod: Json = copied(current)
        pod["spec"]["nodeName"] = chosen
        for field in ("annotations", "labels"):
            if meta.get(field):
                pod["metadata"].setdefault(field, {}).update(meta[field])
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        status = pod.setdefault("status", {})
        status.pop("nominatedNodeName", None)
        conditions = status["conditions"] = list(status.get("conditions") or ())
        kinds = [c.get("type") for c in conditions]
        if "PodScheduled" in kinds:
            conditions[kinds.index("PodScheduled")] = condition
        else:
            conditions.append(condition)
        return pod


def _match(pods: ResourceType, wanted: Json, found: Json) -> None:
    """The pod is the one that the binding means, by uid and version."""
    for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != found[field]:
            namespace, name = found["namespace"], found["name"]
            raise precondition_failed(pods, namespace, name, word, wanted[field], found[field])


def _refused(name: str, message: str) -> ApiError:
    return errors.conflict("", "pods/binding", name, message)


def _node(binding: Json) -> str:
    """The node that is bound to. Raises ApiError 500, as the real server answers bad targets."""
    target = binding.get("target") or {}
    kind, name = target.get("kind", ""), target.get("name", "")
    found = []
    if kind not in ("", "Node"):
        found.append(str(errors.not_supported("target.kind", kind, ["Node", "<empty>"])))
    if not name:
        found.append(str(errors.required("target.name")))
    if found:
        text = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
        raise ApiError(500, "", text)
    return str(name)


def created() -> Json:
    """The Status that answers a POST which stored nothing of its own."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
