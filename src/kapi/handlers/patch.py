"""PATCH: the patch is made into a function from the current object to the proposed one; the rest
is the write pipeline.

JSON patch and merge patch work on the JSON of the object and their result is decoded like a body;
strategic merge patch works field by field with the schema. Apply brings its own idea of who owns
what."""

from __future__ import annotations

from typing import Any

import orjson

from kapi import errors
from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.codec.negotiate import Patch, PatchFormat, patch_format
from kapi.errors import ApiError
from kapi.handlers.decode import Decoder, Document, parse, read_body, yaml_complaints
from kapi.handlers.json_patch_words import as_written, complaints
from kapi.handlers.notes import note_patch
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.handlers.update import Authorize
from kapi.messages import Request, Response
from kapi.registry.applying import Applier
from kapi.registry.change import Change
from kapi.registry.go_text import go_text
from kapi.registry.options import WriteOptions, write_options
from kapi.registry.patches.json_patch import json_patch, unprocessable
from kapi.registry.patches.merge_patch import merge_patch
from kapi.registry.patches.strategic_merge import strategic_merge
from kapi.registry.resource import GroupVersionKind
from kapi.registry.versions import Versions
from kapi.registry.write import Writer
from kapi.schema.structural import Schema
from kapi.schema.unstructured_errors import conversion_error

Json = dict[str, Any]


class PatchHandler:
    def __init__(
        self,
        decoder: Decoder,
        versions: Versions,
        writer: Writer,
        respond: Responder,
        authorize: Authorize,
        applier: Applier,
    ) -> None:
        self._applier = applier
        self._decoder = decoder
        self._versions = versions
        self._writer = writer
        self._respond = respond
        self._authorize = authorize

    async def __call__(self, request: Request, target: Target) -> Response:
        content_type = request.headers.get("content-type")
        asked = patch_format(content_type, custom=target.resource.custom, offer=self._decoder.offer)
        form = asked.form
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        data = await read_body(request)
        options = write_options(request.query, "PatchOptions", patch_type=form)
        patch = await self._decoder.aside.run(len(data), lambda: parse_patch(data, asked))
        if request.audit.level:
            await note_patch(request, data, asked, patch.value, self._decoder.aside)
        if form == "apply" and options.field_validation not in ("Strict", "Ignore"):
            for complaint in patch.complaints:
                request.warn(complaint)
        kind, schema = target.version.kind, target.version.schema()
        manager = manager_name(request, options.field_manager)

        results: list[bytes] = []  # of the patch, last the one that counts

        def propose(current: Json | None) -> Json:
            if form == "apply":
                applied = self._applier.proposal(
                    target.resource,
                    target.version,
                    target.subresource_name,
                    patch.value,
                    manager,
                    force=options.force,
                    current=current,
                )
                if options.field_validation == "Strict":  # told last, as the real server does
                    refuse_repeated(patch)
                return applied
            assert current is not None
            return self.patched(request, kind, schema, form, patch, options, current, results)

        assert request.user is not None
        change = Change(
            resource=target.resource,
            version=target.version,
            size=len(data),
            namespace=target.namespace,
            name=target.name,
            propose=propose,
            mode="apply" if form == "apply" else "patch",
            options=options,
            user=request.user,
            manager=manager,
            subresource=target.subresource_name,
            may_create=form == "apply" and not target.subresource,
            warn=request.warn,
            annotate=request.audit.annotate,
            body=lambda: orjson.loads(results[-1]) if results else None,
            authorize_create=lambda: self._authorize(request, target, "create"),
        )
        written = await self._writer.commit(change)
        status = 201 if written.created else 200
        return self._respond.object(request, target, written.object, accepted, status=status)

    def patched(
        self,
        request: Request,
        kind: GroupVersionKind,
        schema: Schema,
        form: PatchFormat,
        patch: Document,
        options: WriteOptions,
        current: Json,
        results: list[bytes] | None = None,
    ) -> Json:
        """The patched object, decoded and defaulted; its JSON goes to `results`.

        Raises ApiError 400, 413, 422, 500.
        """
        lenient = options.field_validation == "Ignore"
        if form == "strategic":
            patched = strategic_merge(current, patch.value, schema)
        elif form == "merge":
            patched = merge_patch(current, patch.value, lenient=lenient)
        else:
            patched = json_patch(current, as_written(patch), lenient=lenient)
        text = _text(patched)
        # What a patch does not know shows in its result; what it says twice only in itself.
        if form == "json":
            repeated = () if lenient else complaints(patch)
        else:
            repeated = self._decoder.repeated(patch, schema)
        document = Document(orjson.loads(text), text, [], repeated)
        if results is not None:
            results.append(text)
        try:
            self._decoder.check_kind(document, kind)
            obj = self._decoder.typed(
                document,
                schema,
                kind,
                field_validation=options.field_validation,
                warn=request.warn,
            )
        except ApiError as e:
            words, shown = e.message.partition(": ")[2], text.decode()
            if form == "strategic":
                words = conversion_error(schema, patched) or words
                shown = go_text(patch.value)
            found = [errors.invalid_value("patch", shown, words)]
            raise errors.invalid("", "", "", found) from None
        if form == "strategic":
            self._versions.spellings.anew(schema, obj)
        self._versions.defaulters.default(schema, obj)
        head: Json = {"kind": kind.kind, "apiVersion": kind.api_version}
        head.update(obj)
        head["kind"], head["apiVersion"] = kind.kind, kind.api_version
        return head


def _text(patched: Any) -> bytes:
    """The JSON of a result. Raises ApiError 422 for what copies in a JSON patch made too deep."""
    try:
        text = json_format.dumps(patched)
        json_format.check_depth(text, patched)
    except (orjson.JSONEncodeError, JsonSyntaxError):
        raise unprocessable() from None
    return text


def refuse_repeated(patch: Document) -> None:
    """Raises ApiError 400 for a configuration that says a key twice."""
    for words in yaml_complaints(patch):
        raise errors.bad_request(
            f"error strict decoding YAML: error converting YAML to JSON: {words}"
        )


def parse_patch(data: bytes, asked: Patch) -> Document:
    """The patch document. Raises ApiError 400."""
    if asked.syntax == "cbor":
        return _parse_cbor(data)
    try:
        return parse(data, asked.syntax)
    except JsonSyntaxError as e:
        if asked.form == "apply":
            raise errors.bad_request(f"error encoding patch: {e}") from None
        if asked.form == "merge":
            raise errors.bad_request("invalid JSON patch") from None
        raise errors.bad_request(f"error decoding patch: {e}") from None


def _parse_cbor(data: bytes) -> Document:
    from kapi.codec.cbor_format import CborError
    from kapi.schema import cbor_reading

    try:
        value = cbor_reading.loads(data)
    except CborError as e:
        raise errors.bad_request(f"error decoding patch: {e}") from None
    try:
        value = value if isinstance(value, dict) else cbor_reading.object_of(data)
    except CborError as e:
        raise errors.bad_request(f"error decoding YAML: {e}") from None
    return Document(value, json_format.dumps(value), [])
