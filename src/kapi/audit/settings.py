"""What the flags of audit come to: a policy file, and how each of the two backends works.

`problems` is asked when the command line is checked; the words are the real server's. Nothing here
opens a file but the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kapi.audit.policy_file import PolicyError, load
from kapi.options.table import Options

Mode = Literal["batch", "blocking", "blocking-strict"]
MODES = ("batch", "blocking", "blocking-strict")
FORMATS = ("legacy", "json")
VERSION = "audit.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Batches:
    """How events are gathered. `wait_s`: from one batch to the next at the latest. `qps`: batches
    per second, 0 for no bound; `burst`: at once after a pause.
    """

    buffer: int
    size: int
    wait_s: float
    qps: float
    burst: int


@dataclass(frozen=True, slots=True)
class Truncation:
    """Bytes that an event, and a batch of them, may have."""

    event: int
    batch: int


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """`name`: log or webhook."""

    name: str
    mode: Mode
    batches: Batches
    truncation: Truncation | None


def backend(options: Options, name: Literal["log", "webhook"]) -> BackendSettings:
    """The flags of one backend."""

    def flag(rest: str) -> object:
        return getattr(options, f"audit_{name}_{rest}")

    def number(rest: str) -> int:
        return int(str(flag(rest)))

    throttled = bool(flag("batch_throttle_enable"))
    mode: Mode = flag("mode")  # type: ignore[assignment]
    return BackendSettings(
        name,
        mode,
        Batches(
            buffer=number("batch_buffer_size"),
            size=number("batch_max_size"),
            wait_s=float(str(flag("batch_max_wait"))),
            qps=float(str(flag("batch_throttle_qps"))) if throttled else 0.0,
            burst=number("batch_throttle_burst"),
        ),
        Truncation(number("truncate_max_event_size"), number("truncate_max_batch_size"))
        if flag("truncate_enabled")
        else None,
    )


def initial_backoff_s(options: Options) -> float:
    """The flag, or its old name where only that was given."""
    given = options.given
    old = "audit_webhook_batch_initial_backoff"
    if old in given and "audit_webhook_initial_backoff" not in given:
        return options.audit_webhook_batch_initial_backoff
    return options.audit_webhook_initial_backoff


def problems(options: Options) -> list[str]:
    """What is wrong with the flags; the policy file is read only if nothing else is."""
    found: list[str] = []
    if options.audit_log_path:
        found += _backend_problems(options, "log") + _file_problems(options)
    if options.audit_webhook_config_file:
        found += _backend_problems(options, "webhook")
    if not found and options.audit_policy_file:
        try:
            load(options.audit_policy_file)
        except PolicyError as error:
            found.append(str(error))
    return found


def _backend_problems(options: Options, name: Literal["log", "webhook"]) -> list[str]:
    mode: str = getattr(options, f"audit_{name}_mode")
    found: list[str] = []
    if mode not in MODES:
        allowed = ",".join(MODES)
        found.append(f'invalid audit {name} mode {mode}, allowed modes are "{allowed}"')
    elif mode == "batch":
        found += _batch_problems(options, name)
    event: int = getattr(options, f"audit_{name}_truncate_max_event_size")
    batch: int = getattr(options, f"audit_{name}_truncate_max_batch_size")
    if event <= 0:
        found.append(
            f"invalid audit truncate {name} max event size {event}, must be a positive number"
        )
    elif batch < event:
        found.append(
            f"invalid audit truncate {name} max batch size {batch}, must be greater than "
            f"max event size ({event})"
        )
    version: str = getattr(options, f"audit_{name}_version")
    if version.count("/") > 1:
        found.append(f"unexpected GroupVersion string: {version}")
    elif version != VERSION:
        found.append(f'invalid group version, allowed versions are ["{VERSION}"]')
    return found


def _batch_problems(options: Options, name: Literal["log", "webhook"]) -> list[str]:
    batches = backend(options, name).batches
    throttled: bool = getattr(options, f"audit_{name}_batch_throttle_enable")
    checked: list[tuple[str, float]] = [
        ("buffer size", batches.buffer),
        ("max batch size", batches.size),
    ]
    if throttled:
        checked += [("throttle QPS", batches.qps), ("throttle burst", batches.burst)]
    for what, value in checked:
        if value <= 0:
            return [f"invalid audit batch {name} {what} {value:g}, must be a positive number"]
    return []


def _file_problems(options: Options) -> list[str]:
    found: list[str] = []
    form = options.audit_log_format
    if form not in FORMATS:
        allowed = ",".join(FORMATS)
        found.append(f'invalid audit log format {form}, allowed formats are "{allowed}"')
    for what in ("maxage", "maxbackup", "maxsize"):
        value: int = getattr(options, f"audit_log_{what}")
        if value < 0:
            found.append(f"--audit-log-{what} {value} can't be a negative number")
    return found
