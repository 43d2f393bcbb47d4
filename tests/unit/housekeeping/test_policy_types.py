"""The status of validating admission policies: what type checking found, once per generation."""

from __future__ import annotations

from typing import Any

from housekeeping_harness import housekeeping, idle, until

Json = dict[str, Any]
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def policy(expression: str) -> Json:
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression}],
    }
    return {"metadata": {"name": "p"}, "spec": spec}


async def test_warnings_follow_the_policy() -> None:
    async with housekeeping("validatingadmissionpolicy-status") as run:
        await run.client.post(POLICIES, policy("object.replicas > 1"))
        checked = await until(run, f"{POLICIES}/p", lambda p: p["status"])
        assert checked["status"] == {
            "observedGeneration": 1,
            "typeChecking": {
                "expressionWarnings": [
                    {
                        "fieldRef": "spec.validations[0].expression",
                        "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field "
                        "'replicas'\n | object.replicas > 1\n | ......^\n",
                    }
                ]
            },
        }
        (owner,) = [e for e in checked["metadata"]["managedFields"] if e.get("subresource")]
        assert (owner["manager"], owner["operation"]) == (
            "validatingadmissionpolicy-status-controller",
            "Apply",
        )
        better = [{"expression": "object.spec.replicas > 1"}]
        await run.client.patch(f"{POLICIES}/p", {"spec": {"validations": better}})
        fine = await until(
            run, f"{POLICIES}/p", lambda p: p["status"].get("observedGeneration") == 2
        )
        assert fine["status"] == {"observedGeneration": 2}
        await idle(run)
        again = await run.client.get(f"{POLICIES}/p")
        assert again["metadata"]["resourceVersion"] == fine["metadata"]["resourceVersion"]
