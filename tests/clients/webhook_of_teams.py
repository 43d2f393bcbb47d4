"""A webhook server as a team would write it: the standard library's HTTP server behind TLS.

`POST /label` puts the team's label on objects, `/deny` refuses config maps with a password in
them, `/convert` knows that v1 of a Shop says `city` where v2 says `address`.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from other_server import Authority

Json = dict[str, Any]


def label(request: Json) -> Json:
    operations = []
    if "labels" not in request["object"]["metadata"]:
        operations.append({"op": "add", "path": "/metadata/labels", "value": {}})
    operations.append({"op": "add", "path": "/metadata/labels/team", "value": "blue"})
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def deny(request: Json) -> Json:
    if "password" not in (request["object"].get("data") or {}):
        return {"allowed": True, "warnings": ["looked at by the blue team"]}
    status = {"code": 403, "reason": "Forbidden", "message": "passwords belong into secrets"}
    return {"allowed": False, "status": status}


def convert(request: Json) -> Json:
    objects = []
    for obj in request["objects"]:
        spec = obj.get("spec", {})
        if request["desiredAPIVersion"].endswith("/v1"):
            spec = {"city": spec.get("address", {}).get("city", "")}
        else:
            spec = {"address": {"city": spec.get("city", "")}}
        objects.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    return {"convertedObjects": objects, "result": {"status": "Success"}}


PATHS = {"/label": label, "/deny": deny, "/convert": convert}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        response = PATHS[self.path.partition("?")[0]](request)
        answer = {
            "apiVersion": review["apiVersion"],
            "kind": review["kind"],
            "response": {"uid": request["uid"], **response},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the base class's name
        pass


@dataclass(frozen=True, slots=True)
class Team:
    port: int
    bundle: str  # base64 of the CA's certificate


@contextmanager
def serving_team(folder: Path, *names: str) -> Iterator[Team]:
    """The server, with a certificate for these names and 127.0.0.1."""
    authority = Authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.serving("127.0.0.1", *names))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        bundle = base64.b64encode(authority.pem.encode()).decode()
        yield Team(server.server_address[1], bundle)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
