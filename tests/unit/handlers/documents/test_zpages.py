"""What runs and with which flags: as text, as objects, and what nobody is given."""

import re

import orjson
import pytest
import yaml
from served import ManualClock

from kapi.clock import Entropy
from kapi.codec import cbor_format
from kapi.errors import ApiError
from kapi.handlers.documents import zpages
from kapi.messages import EmptyBody, Handler, Headers, Peer, Query, Request, Response

PATHS = ["/apis/apps/v1", "/healthz", "/livez/ping", "/livez/etcd", "/.well-known/x", "/version",
         "/", "/openapi/v2"]  # fmt: skip
FLAGS = {"v": "2", "secure-port": "6443", "service-account-issuer": "[https://a]"}


def request(accept: str = "", query: str = "") -> Request:
    headers = Headers([("accept", accept)] if accept else [])
    return Request("GET", "/x", "/x", Query(query), headers, EmptyBody(), Peer())


def pages(*, cbor: bool = False, seed: int = 1) -> tuple[Handler, Handler, ManualClock]:
    clock = ManualClock()
    status = zpages.statusz(clock, Entropy(seed), lambda: PATHS, cbor=cbor)
    return status, zpages.flagz(FLAGS, Entropy(seed), cbor=cbor), clock


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


async def test_status_as_text() -> None:
    status, _, clock = pages()
    await clock.advance(3723.5)
    answer = await status(request())
    assert answer.headers == [("Content-Type", "text/plain; charset=utf-8")]
    lines = text(answer).split("\n")
    assert lines[:2] == ["", "apiserver statusz"]
    assert lines[2].startswith("Warning: This endpoint is not meant to be machine parseable")
    words = [re.sub(r"^([A-Z][a-z ]*[a-z])(: |:|=| ) ", r"\1|", line) for line in lines[4:]]
    assert words[0] == "Started|Wed Nov 18 11:06:40 UTC 2026"
    assert words[1] == "Up|1 hr 02 min 03 sec"
    assert words[3:] == [
        "Binary version|1.37.2", "Emulation version|1.37", "Paths|/healthz /livez /version", "",
    ]  # fmt: skip


async def test_separators_change() -> None:
    assert len({text(await pages(seed=n)[1](request())) for n in range(20)}) == 4


async def test_flags_as_text() -> None:
    lines = text(await pages()[1](request("*/*"))).split("\n")
    assert lines[:2] == ["", "apiserver flagz"]
    names = [re.split("[:= ]", line)[0] for line in lines[3:-1]]
    assert names == ["secure-port", "service-account-issuer", "v"]


@pytest.mark.parametrize("version", zpages.VERSIONS)
async def test_objects(version: str) -> None:
    status, flags, clock = pages(cbor=True)
    await clock.advance(5)
    accept = f"application/json;v={version};g=config.k8s.io;as="
    answer = await status(request(accept + "Statusz"))
    assert answer.headers == [("Content-Type", "application/json")]
    found = orjson.loads(text(answer))
    assert list(found) == [
        "kind", "apiVersion", "metadata", "startTime", "uptimeSeconds", "goVersion",
        "binaryVersion", "emulationVersion", "paths",
    ]  # fmt: skip
    assert found["apiVersion"] == f"config.k8s.io/{version}"
    assert (found["uptimeSeconds"], found["metadata"]) == (5, {"name": "apiserver"})
    assert found["paths"] == ["/healthz", "/livez", "/version"]
    want = {
        "kind": "Flagz", "apiVersion": f"config.k8s.io/{version}",
        "metadata": {"name": "apiserver"}, "flags": dict(sorted(FLAGS.items())),
    }  # fmt: skip
    assert orjson.loads(text(await flags(request(accept + "Flagz")))) == want
    as_yaml = await flags(request(accept.replace("json", "yaml") + "Flagz"))
    assert yaml.safe_load(text(as_yaml)) == want
    as_cbor = await flags(request(accept.replace("json", "cbor") + "Flagz"))
    assert isinstance(as_cbor.body, bytes)
    assert cbor_format.loads(as_cbor.body) == want


async def test_the_first_that_can_be_served() -> None:
    flags = pages()[1]
    unknown = "application/json;v=foo;g=config.k8s.io;as=Flagz"
    answer = await flags(request(f"{unknown},*/*"))
    assert answer.headers == [("Content-Type", "text/plain; charset=utf-8")]
    known = "application/json;v=v1beta1;g=config.k8s.io;as=Flagz"
    pretty = await flags(request(f"{unknown},{known}", "pretty=1"))
    assert text(pretty).startswith('{\n  "kind": "Flagz"')


@pytest.mark.parametrize(
    "accept",
    [
        "application/xml",
        "application/json",
        "application/json;v=v1beta1;g=config.k8s.io",
        "application/json;v=v1beta1;g=config.k8s.io;as=Statusz",
        "application/json;v=v1;g=config.k8s.io;as=Flagz",
        "application/json;v=v1beta1;g=config.k8s.io;as=Flagz;stream=watch",
        "application/vnd.kubernetes.protobuf;v=v1beta1;g=config.k8s.io;as=Flagz",
        "application/cbor;v=v1beta1;g=config.k8s.io;as=Flagz",
        "text/plain;as=Flagz",
    ],
)
async def test_what_is_not_acceptable(accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        await pages()[1](request(accept))
    assert caught.value.code == 406
    assert str(caught.value.message) == (
        "only the following media types are accepted: application/json, application/yaml, "
        "text/plain"
    )
