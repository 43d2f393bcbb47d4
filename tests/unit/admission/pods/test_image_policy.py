"""ImagePolicyWebhook: what another server says about images, and what if it says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from admission_stage import handled, passes, refusal, write

from kapi.admission.configuration import ConfigurationError
from kapi.admission.pods.image_policy import ImagePolicyWebhook, ReviewError, Settings, configure

Json = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Stage:
    """A policy server that gives its answers one after the other; the last one again and again."""

    def __init__(self, *answers: Json | str, default_allow: bool = False) -> None:
        self.answers = list(answers)
        self.asked: list[Json] = []
        self.clock = Clock()
        settings = Settings("file", 10, 5, 0.5, default_allow)
        self.plugin = ImagePolicyWebhook(settings, self.review, self.clock)

    async def review(self, asked: Json) -> Json:
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise ReviewError(answer)
        return answer


def pod(image: str = "i", **annotations: str) -> Json:
    given = {key.replace("__", "/"): value for key, value in annotations.items()}
    return {
        "metadata": {"name": "a", "annotations": given},
        "spec": {"containers": [{"image": image}], "initContainers": [{"image": "init"}]},
    }


async def test_what_is_asked() -> None:
    stage = Stage({"allowed": True})
    notes = {"x.image-policy.k8s.io__why": "so", "other": "x"}
    await passes(stage.plugin, write("pods", pod(**notes)))
    (asked,) = stage.asked
    assert (asked["kind"], asked["apiVersion"]) == ("ImageReview", "imagepolicy.k8s.io/v1alpha1")
    assert asked["spec"] == {
        "containers": [{"image": "i"}, {"image": "init"}],
        "annotations": {"x.image-policy.k8s.io/why": "so"},
        "namespace": "ns",
    }
    added = {"spec": {"ephemeralContainers": [{"image": "debug"}]}}
    await passes(stage.plugin, write("pods", added, {}, subresource="ephemeralcontainers"))
    assert stage.asked[-1]["spec"]["containers"] == [{"image": "debug"}]
    assert not handled(stage.plugin, write("pods", {}, {}, subresource="status"))


async def test_refused() -> None:
    noted: dict[str, str] = {}
    stage = Stage({"allowed": False, "reason": "too old", "auditAnnotations": {"k": "v"}})
    asked = write("pods", pod(), annotate=noted.__setitem__)
    assert await refusal(stage.plugin, asked, "validate") == (
        "image policy webhook backend denied one or more images: too old"
    )
    assert noted == {"imagepolicywebhook.image-policy.k8s.io/k": "v"}
    for silent in ({"allowed": False}, {}, {"allowed": "yes"}):
        words = await refusal(Stage(silent).plugin, write("pods", pod()), "validate")
        assert words == "one or more images rejected by webhook backend"


async def test_answers_are_remembered_for_a_while() -> None:
    stage = Stage({"allowed": True}, {"allowed": False})
    for _ in range(2):
        await passes(stage.plugin, write("pods", pod()))
    await refusal(stage.plugin, write("pods", pod("j")), "validate")
    assert len(stage.asked) == 2
    stage.clock.at = 6
    await passes(stage.plugin, write("pods", pod()))
    await refusal(stage.plugin, write("pods", pod("j")), "validate")
    assert len(stage.asked) == 3
    stage.clock.at = 11
    await refusal(stage.plugin, write("pods", pod()), "validate")


async def test_a_server_that_fails_is_asked_again() -> None:
    stage = Stage("down", "down", {"allowed": True})
    await passes(stage.plugin, write("pods", pod()))
    assert stage.clock.slept == [0.5, 0.75]


async def test_a_server_that_is_gone() -> None:
    stage = Stage("down")
    assert await refusal(stage.plugin, write("pods", pod()), "validate") == "down"
    assert len(stage.asked) == 5
    noted: dict[str, str] = {}
    await passes(
        Stage("down", default_allow=True).plugin,
        write("pods", pod(), annotate=noted.__setitem__),
    )
    assert noted == {"imagepolicywebhook.image-policy.k8s.io/failed-open": "true"}


def test_configuration() -> None:
    found = configure({"imagePolicy": {"kubeConfigFile": "k", "denyTTL": 7, "defaultAllow": True}})
    assert found == Settings("k", 50, 7, 0.5, True)
    negative = {"kubeConfigFile": "k", "allowTTL": -1}
    wrong: tuple[Any, ...] = (None, {}, {"imagePolicy": {}}, {"imagePolicy": negative})
    for bad in wrong:
        with pytest.raises(ConfigurationError, match=r"imagePolicy\."):
            configure(bad)
