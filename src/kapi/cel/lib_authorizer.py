"""The authorizer: expressions that ask whether somebody may do something.

An answer takes an authorizer that may wait, and evaluation does not. So a question that has no
answer yet ends the evaluation with `Unanswered`; who evaluates gets the answer, puts it into
`Answers` and evaluates again.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from kapi.cel.declarations import Library
from kapi.cel.types import Type, opaque

_P = "kubernetes.authorization."
AUTHORIZER: Type = opaque(f"{_P}Authorizer")
RESOURCE_CHECK: Type = opaque(f"{_P}ResourceCheck")
TABLE = """
path authorizer_path P.Authorizer.(string) -> P.PathCheck
group authorizer_group P.Authorizer.(string) -> P.GroupCheck
serviceAccount authorizer_serviceaccount P.Authorizer.(string, string) -> P.Authorizer
check pathcheck_check P.PathCheck.(string) -> P.Decision
resource groupcheck_resource P.GroupCheck.(string) -> P.ResourceCheck
subresource resourcecheck_subresource P.ResourceCheck.(string) -> P.ResourceCheck
namespace resourcecheck_namespace P.ResourceCheck.(string) -> P.ResourceCheck
name resourcecheck_name P.ResourceCheck.(string) -> P.ResourceCheck
fieldSelector authorizer_fieldselector P.ResourceCheck.(string) -> P.ResourceCheck
labelSelector authorizer_labelselector P.ResourceCheck.(string) -> P.ResourceCheck
check resourcecheck_check P.ResourceCheck.(string) -> P.Decision
errored decision_errored P.Decision.() -> bool
error decision_error P.Decision.() -> string
allowed decision_allowed P.Decision.() -> bool
reason decision_reason P.Decision.() -> string
""".replace("P.", _P)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `service_account`: namespace and name, of another than the user."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    cel_type: ClassVar[str] = f"{_P}Decision"
    allowed: bool
    reason: str = ""
    error: str = ""


@dataclass(slots=True)
class Answers:
    """What is known for one evaluation."""

    known: dict[Question, Answer] = field(default_factory=dict)

    def ask(self, question: Question) -> Answer:
        found = self.known.get(question)
        if found is None:
            raise Unanswered(question)
        return found


class Unanswered(Exception):
    """An evaluation needs an answer."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


@dataclass(frozen=True, slots=True, eq=False)
class Authorizer:
    """The value of the variable `authorizer`."""

    cel_type: ClassVar[str] = f"{_P}Authorizer"
    answers: Answers
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PathCheck:
    cel_type: ClassVar[str] = f"{_P}PathCheck"
    answers: Answers
    question: Question


@dataclass(frozen=True, slots=True, eq=False)
class GroupCheck:
    cel_type: ClassVar[str] = f"{_P}GroupCheck"
    answers: Answers
    question: Question


@dataclass(frozen=True, slots=True, eq=False)
class ResourceCheck:
    """Also the value of `authorizer.requestResource`."""

    cel_type: ClassVar[str] = f"{_P}ResourceCheck"
    answers: Answers
    question: Question


def _path(a: Authorizer, path: str) -> PathCheck:
    return PathCheck(a.answers, Question("", path=path, service_account=a.service_account))


def _group(a: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(a.answers, Question("", group=group, service_account=a.service_account))


def _with(name: str) -> Any:
    def run(check: GroupCheck | ResourceCheck, value: str) -> ResourceCheck:
        changed: dict[str, Any] = {name: value}
        return ResourceCheck(check.answers, replace(check.question, **changed))

    return run


def _check(check: PathCheck | ResourceCheck, verb: str) -> Answer:
    return check.answers.ask(replace(check.question, verb=verb))


def library() -> Library:
    return Library(
        TABLE,
        {
            "authorizer_path": _path,
            "authorizer_group": _group,
            "authorizer_serviceaccount": lambda a, ns, name: Authorizer(a.answers, (ns, name)),
            "pathcheck_check": _check,
            "groupcheck_resource": _with("resource"),
            "resourcecheck_subresource": _with("subresource"),
            "resourcecheck_namespace": _with("namespace"),
            "resourcecheck_name": _with("name"),
            "authorizer_fieldselector": _with("field_selector"),
            "authorizer_labelselector": _with("label_selector"),
            "resourcecheck_check": _check,
            "decision_errored": lambda d: bool(d.error),
            "decision_error": lambda d: d.error,
            "decision_allowed": lambda d: d.allowed,
            "decision_reason": lambda d: d.reason,
        },
    )
