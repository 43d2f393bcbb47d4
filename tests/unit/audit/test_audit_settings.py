"""Flags of audit that do not go together, in the real server's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kapi.audit import settings
from kapi.options.table import Options

LOG: dict[str, Any] = {"audit_log_path": "x"}
HOOK: dict[str, Any] = {"audit_webhook_config_file": "x"}
MODES = '"batch,blocking,blocking-strict"'


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"audit_log_mode": "later"}, f"invalid audit log mode later, allowed modes are {MODES}"),
        (
            {"audit_log_mode": "batch", "audit_log_batch_buffer_size": 0},
            "invalid audit batch log buffer size 0, must be a positive number",
        ),
        (
            {"audit_log_mode": "batch", "audit_log_batch_max_size": -1},
            "invalid audit batch log max batch size -1, must be a positive number",
        ),
        (
            {"audit_log_mode": "batch", "audit_log_batch_throttle_enable": True},
            "invalid audit batch log throttle QPS 0, must be a positive number",
        ),
        ({"audit_log_batch_buffer_size": 0}, ""),  # the mode does not use it
        (
            {"audit_log_truncate_max_event_size": 0},
            "invalid audit truncate log max event size 0, must be a positive number",
        ),
        (
            {"audit_log_truncate_max_batch_size": 5},
            "invalid audit truncate log max batch size 5, must be greater than max event size "
            "(102400)",
        ),
        (
            {"audit_log_version": "audit.k8s.io/v1beta1"},
            'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
        ),
        ({"audit_log_version": "a/b/c"}, "unexpected GroupVersion string: a/b/c"),
        (
            {"audit_log_format": "xml"},
            'invalid audit log format xml, allowed formats are "legacy,json"',
        ),
        ({"audit_log_maxage": -1}, "--audit-log-maxage -1 can't be a negative number"),
        ({"audit_log_maxbackup": -1}, "--audit-log-maxbackup -1 can't be a negative number"),
        ({"audit_log_maxsize": -1}, "--audit-log-maxsize -1 can't be a negative number"),
        ({}, ""),
    ],
)
def test_the_log(flags: dict[str, Any], words: str) -> None:
    assert settings.problems(Options(**LOG, **flags)) == ([words] if words else [])
    assert settings.problems(Options(**flags)) == []  # without a file nobody looks


def test_the_webhook() -> None:
    found = settings.problems(
        Options(**HOOK, audit_webhook_batch_throttle_burst=0, audit_webhook_version="x")
    )
    assert found == [
        "invalid audit batch webhook throttle burst 0, must be a positive number",
        'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
    ]


def test_a_policy_is_read_if_the_flags_are_good(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    (found,) = settings.problems(Options(audit_policy_file=path))
    assert found.startswith("loading audit policy file: failed to read file path")
    assert settings.problems(Options(**LOG, audit_log_maxage=-1, audit_policy_file=path)) == [
        "--audit-log-maxage -1 can't be a negative number"
    ]


def test_defaults_are_those_of_the_real_server() -> None:
    log, hook = (settings.backend(Options(), name) for name in ("log", "webhook"))
    assert (log.mode, log.batches) == ("blocking", settings.Batches(10000, 1, 0, 0, 0))
    assert (hook.mode, hook.batches) == ("batch", settings.Batches(10000, 400, 30, 10, 15))
    assert log.truncation is hook.truncation is None


def test_the_old_name_of_the_pause() -> None:
    old, new = "audit_webhook_batch_initial_backoff", "audit_webhook_initial_backoff"
    given: dict[str, Any] = {old: 3.0}
    assert settings.initial_backoff_s(Options()) == 10
    assert settings.initial_backoff_s(Options(**given, given=frozenset((old,)))) == 3
    both = Options(**given, audit_webhook_initial_backoff=4.0, given=frozenset((old, new)))
    assert settings.initial_backoff_s(both) == 4
