"""What webhooks are sent."""

from __future__ import annotations

from kapi.authorization.authorizer import Attributes
from kapi.authorization.review import review, spec_of
from kapi.messages import UserInfo

ADA = UserInfo(name="ada", groups=("a", "b"), extra={"y": ("2",), "x": ("1",)}, uid="u")


def test_a_resource() -> None:
    asked = Attributes(
        user=ADA,
        verb="watch",
        is_resource=True,
        group="apps",
        version="v1",
        namespace="ns",
        resource="deployments",
        subresource="scale",
        name="web",
        field_selector="metadata.name=web,spec.x!=1",
        label_selector="a=1,b notin (2,3),c,d>5",
    )
    spec = spec_of(asked)
    assert list(spec) == ["resourceAttributes", "user", "groups", "extra", "uid"]
    assert list(spec["extra"]) == ["x", "y"]
    assert list(spec["resourceAttributes"].items()) == [
        ("namespace", "ns"),
        ("verb", "watch"),
        ("group", "apps"),
        ("version", "v1"),
        ("resource", "deployments"),
        ("subresource", "scale"),
        ("name", "web"),
        (
            "fieldSelector",
            {
                "requirements": [
                    {"key": "metadata.name", "operator": "In", "values": ["web"]},
                    {"key": "spec.x", "operator": "NotIn", "values": ["1"]},
                ]
            },
        ),
        (
            "labelSelector",
            {
                "requirements": [
                    {"key": "a", "operator": "In", "values": ["1"]},
                    {"key": "b", "operator": "NotIn", "values": ["2", "3"]},
                    {"key": "c", "operator": "Exists"},
                ]
            },
        ),
    ]


def test_selectors_that_cannot_be_said() -> None:
    asked = Attributes(
        user=ADA,
        verb="list",
        is_resource=True,
        resource="pods",
        field_selector="what",
        label_selector="a>1",
    )
    assert spec_of(asked)["resourceAttributes"] == {"verb": "list", "resource": "pods"}


def test_a_path_and_versions() -> None:
    spec = spec_of(Attributes(user=ADA, verb="get", is_resource=False, path="/healthz"))
    assert spec["nonResourceAttributes"] == {"path": "/healthz", "verb": "get"}
    assert review(spec, "v1") == {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": spec,
        "status": {"allowed": False},
    }
    old = review(spec, "v1beta1")
    assert old["apiVersion"] == "authorization.k8s.io/v1beta1"
    assert old["spec"]["group"] == ["a", "b"]
    assert "groups" not in old["spec"]
