"""Every metric that the server may show: its name, kind, labels and buckets. Facts only.

`metrics.py` counts; docs/metrics.md is made of this. A new metric is one row here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LATENCY_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
    60,
)  # fmt: skip
SLI_BUCKETS = LATENCY_BUCKETS[2:]
SIZE_BUCKETS = tuple(1000.0 * 10**i for i in range(7))
ADMISSION_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25)
POLICY_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1)
CONVERSION_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60)
WAIT_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3)
LEASE_BUCKETS = (10, 50, 100, 500, 1000, 2500, 5000)
MATCH_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
WEBHOOK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
JWT_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TRANSFORMATION_BUCKETS = tuple(5e-6 * 2**i for i in range(25))
KMS_BUCKETS = tuple(0.0001 * 2**i for i in range(20))
# Of flow control. What is a fraction of a limit has its bounds near what matters.
REQUEST_WAIT_BUCKETS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
QUEUE_LENGTH_BUCKETS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEAT_BUCKETS = (1, 2, 4, 10)
WATCH_COUNT_BUCKETS = (0, 1, 10, 100, 1000, 10000)
SEATS_IN_USE_BUCKETS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
REQUESTS_BUCKETS = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1)
READS_WRITES_BUCKETS = (
    0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1,
)  # fmt: skip
DEMAND_BUCKETS = (0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6)
ATTEMPT_BUCKETS = tuple(0.001 * 2**i for i in range(15))

_RESOURCE = ("verb", "group", "version", "resource", "subresource", "scope", "component")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a metric is called and means."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _spec(name: str, kind: str, labels: str, text: str, buckets: Sequence[float] = ()) -> Spec:
    return Spec(name, kind, text, tuple(labels.split()), tuple(float(b) for b in buckets))


_POLICY = "policy policy_binding error_type enforcement_action"
_R = " ".join(_RESOURCE)
_LEVEL = "priority_level"
_FLOW = "priority_level flow_schema"
_WITH_DRY = "verb dry_run group version resource subresource scope component"

# Every metric but those of the process; docs/metrics.md is made of this.
SPECS = {
    spec.name: spec
    for spec in (
        _spec("apiserver_request_total", "counter", _WITH_DRY + " code", "Requests answered."),
        _spec("apiserver_request_duration_seconds", "histogram", _WITH_DRY,
              "From the arrival of a request to the last byte of its answer.", LATENCY_BUCKETS),
        _spec("apiserver_request_sli_duration_seconds", "histogram", _R,
              "The same without watches and other long-running requests.", SLI_BUCKETS),
        _spec("apiserver_response_sizes", "histogram", _R,
              "Bytes of answers to get and list, as sent.", SIZE_BUCKETS),
        _spec("apiserver_current_inflight_requests", "gauge", "request_kind",
              "Requests that hold a slot, reading and mutating."),
        _spec("apiserver_current_inqueue_requests", "gauge", "request_kind",
              "Requests that wait in a queue of flow control, reading and mutating."),
        _spec("apiserver_flowcontrol_dispatched_requests_total", "counter", _FLOW,
              "Requests that began to execute."),
        _spec("apiserver_flowcontrol_rejected_requests_total", "counter", _FLOW + " reason",
              "Requests refused: queue-full, concurrency-limit, time-out or cancelled."),
        _spec("apiserver_flowcontrol_current_inqueue_requests", "gauge", _FLOW,
              "Requests that wait."),
        _spec("apiserver_flowcontrol_current_inqueue_seats", "gauge", _FLOW,
              "Seats of the requests that wait."),
        _spec("apiserver_flowcontrol_current_executing_requests", "gauge", _FLOW,
              "Requests that execute; watches only until they have begun."),
        _spec("apiserver_flowcontrol_current_executing_seats", "gauge", _FLOW,
              "Seats taken by requests that execute, or that linger for their watchers."),
        _spec("apiserver_flowcontrol_request_wait_duration_seconds", "histogram",
              _FLOW + " execute", "How long requests waited, whether they were executed or not.",
              REQUEST_WAIT_BUCKETS),
        _spec("apiserver_flowcontrol_request_execution_seconds", "histogram", _FLOW + " type",
              "How long requests executed; watches until they had begun.", REQUEST_WAIT_BUCKETS),
        _spec("apiserver_flowcontrol_request_queue_length_after_enqueue", "histogram", _FLOW,
              "Length of the queue that a request joined, with it.", QUEUE_LENGTH_BUCKETS),
        _spec("apiserver_flowcontrol_request_dispatch_no_accommodation_total", "counter", _FLOW,
              "How often the next in turn found too few free seats."),
        _spec("apiserver_flowcontrol_work_estimated_seats", "histogram", _FLOW,
              "Seats that requests were expected to take.", SEAT_BUCKETS),
        _spec("apiserver_flowcontrol_watch_count_samples", "histogram", _FLOW,
              "Watches that may be told of a change, at each request for one.",
              WATCH_COUNT_BUCKETS),
        _spec("apiserver_flowcontrol_nominal_limit_seats", "gauge", _LEVEL,
              "Seats of a priority level by its shares."),
        _spec("apiserver_flowcontrol_lower_limit_seats", "gauge", _LEVEL,
              "Seats that it keeps, whatever it lends."),
        _spec("apiserver_flowcontrol_upper_limit_seats", "gauge", _LEVEL,
              "Seats that it has at most, with those it borrows."),
        _spec("apiserver_flowcontrol_current_limit_seats", "gauge", _LEVEL, "Seats that it has."),
        _spec("apiserver_flowcontrol_demand_seats", "histogram", _LEVEL,
              "Seats wanted as a fraction of those it has; each nanosecond is an observation.",
              DEMAND_BUCKETS),
        _spec("apiserver_flowcontrol_demand_seats_high_watermark", "gauge", _LEVEL,
              "Most seats wanted, between the last two adjustments."),
        _spec("apiserver_flowcontrol_demand_seats_average", "gauge", _LEVEL,
              "Seats wanted on average, in that time."),
        _spec("apiserver_flowcontrol_demand_seats_stdev", "gauge", _LEVEL,
              "Standard deviation of the seats wanted, in that time."),
        _spec("apiserver_flowcontrol_demand_seats_smoothed", "gauge", _LEVEL,
              "Average and deviation, which fade slowly."),
        _spec("apiserver_flowcontrol_target_seats", "gauge", _LEVEL,
              "Seats that it would be given if there were enough."),
        _spec("apiserver_flowcontrol_seat_fair_frac", "gauge", "",
              "Fraction of its target that each level was given, within its bounds."),
        _spec("apiserver_flowcontrol_priority_level_seat_utilization", "histogram",
              "phase priority_level",
              "Seats in use as a fraction of those there are, by nanosecond.",
              SEATS_IN_USE_BUCKETS),
        _spec("apiserver_flowcontrol_priority_level_request_utilization", "histogram",
              "phase priority_level",
              "Requests that wait or execute as a fraction of what is allowed, by nanosecond.",
              REQUESTS_BUCKETS),
        _spec("apiserver_flowcontrol_read_vs_write_current_requests", "histogram",
              "phase request_kind",
              "The same of all levels together, for reads and writes.", READS_WRITES_BUCKETS),
        _spec("apiserver_flowcontrol_current_r", "gauge", _LEVEL,
              "Seat-seconds that each busy queue could have had so far."),
        _spec("apiserver_flowcontrol_dispatch_r", "gauge", _LEVEL,
              "The same, when a request was last dispatched."),
        _spec("apiserver_flowcontrol_latest_s", "gauge", _LEVEL,
              "When that request was due in the fair world."),
        _spec("apiserver_flowcontrol_next_s_bounds", "gauge", _LEVEL + " bound",
              "When the next requests of the queues are due there, from the first to the last."),
        _spec("apiserver_flowcontrol_next_discounted_s_bounds", "gauge", _LEVEL + " bound",
              "The same, less the work that these queues have in progress."),
        _spec("apiserver_longrunning_requests", "gauge", _R, "Long-running requests now open."),
        _spec("apiserver_request_terminations_total", "counter", _R + " code",
              "Requests refused in self-defence: too many, or timed out."),
        _spec("apiserver_resource_objects", "gauge", "group resource", "Objects stored."),
        _spec("apiserver_storage_size_bytes", "gauge", "storage_cluster_id",
              "Size of the store; of each endpoint of etcd."),
        _spec("apiserver_storage_events_received_total", "counter", "group resource",
              "Changes that the store told of."),
        _spec("apiserver_storage_list_total", "counter", "group resource storage index",
              "Lists answered: by the watch cache, or by the store."),
        _spec("apiserver_storage_list_fetched_objects_total", "counter",
              "group resource storage index", "Objects looked at for lists."),
        _spec("apiserver_storage_list_evaluated_objects_total", "counter",
              "group resource storage", "Objects of the store that selectors were tried on."),
        _spec("apiserver_storage_list_returned_objects_total", "counter",
              "group resource storage", "Objects in answers to lists."),
        _spec("apiserver_storage_transformation_operations_total", "counter",
              "transformation_type transformer_prefix status",
              "Values encrypted and decrypted."),
        _spec("apiserver_storage_transformation_duration_seconds", "histogram",
              "transformation_type transformer_prefix",
              "Time that encrypting or decrypting a value took.", TRANSFORMATION_BUCKETS),
        _spec("apiserver_storage_envelope_transformation_cache_misses_total", "counter", "",
              "Seeds that a KMS plugin had to decrypt."),
        _spec("apiserver_storage_data_key_generation_duration_seconds", "histogram", "",
              "Time that making a seed took.", TRANSFORMATION_BUCKETS[:14]),
        _spec("apiserver_envelope_encryption_dek_source_cache_size", "gauge", "provider_name",
              "Seeds that are remembered."),
        _spec("apiserver_envelope_encryption_kms_operations_latency_seconds", "histogram",
              "provider_name method_name grpc_status_code",
              "Time that calls of a KMS plugin took.", KMS_BUCKETS),
        _spec("apiserver_envelope_encryption_key_id_hash_total", "counter",
              "transformation_type provider_name key_id_hash apiserver_id_hash",
              "Uses of a key of a KMS plugin."),
        _spec("apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds", "gauge",
              "transformation_type provider_name key_id_hash apiserver_id_hash",
              "When a key of a KMS plugin was last used."),
        _spec("apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds", "gauge",
              "provider_name key_id_hash apiserver_id_hash",
              "When a KMS plugin last named a key as its current one."),
        _spec("apiserver_envelope_encryption_invalid_key_id_from_status_total", "counter",
              "provider_name error", "Status of a KMS plugin without a usable key."),
        _spec("apiserver_encryption_config_controller_automatic_reloads_total", "counter",
              "status apiserver_id_hash", "Changed encryption configurations: success, failure."),
        _spec("apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
              "gauge", "status apiserver_id_hash",
              "When an encryption configuration was last taken over, or could not be."),
        _spec("apiserver_encryption_config_controller_last_config_info", "gauge",
              "apiserver_id_hash hash", "1, with the hash of the encryption configuration."),
        _spec("etcd_requests_total", "counter", "operation group resource",
              "Requests to etcd: get, list, create, update, delete."),
        _spec("etcd_request_errors_total", "counter", "operation group resource",
              "Requests to etcd that failed."),
        _spec("etcd_request_duration_seconds", "histogram", "operation group resource",
              "Time that requests to etcd took.", LATENCY_BUCKETS),
        _spec("etcd_bookmark_total", "counter", "group resource",
              "Notes of progress from etcd; its one watch is for all resources."),
        _spec("etcd_lease_object_counts", "histogram", "",
              "Keys that a lease of etcd was used for.", LEASE_BUCKETS),
        _spec("apiserver_watch_events_total", "counter", "group version resource",
              "Events sent to watchers."),
        _spec("apiserver_watch_cache_resource_version", "gauge", "group resource",
              "How far the watch cache is; the last 15 digits."),
        _spec("apiserver_watch_cache_initializations_total", "counter", "group resource",
              "How often the watch cache was filled anew."),
        _spec("apiserver_watch_cache_consistent_read_total", "counter",
              "group resource success fallback",
              "Reads as of now: by the watch cache, or by the store where it lagged."),
        _spec("apiserver_watch_cache_read_wait_seconds", "histogram", "group resource",
              "How long reads waited for the watch cache; those that did not count as none.",
              WAIT_BUCKETS),
        _spec("apiserver_watch_cache_events_dispatched_total", "counter", "group resource",
              "Events that the watch cache handed to its watchers."),
        _spec("apiserver_watch_cache_events_received_total", "counter", "group resource",
              "Events that the watch cache took from the store."),
        _spec("apiserver_admission_webhook_admission_duration_seconds", "histogram",
              "name type operation rejected", "Time that an admission webhook took.",
              ADMISSION_BUCKETS),
        _spec("apiserver_admission_webhook_request_total", "counter",
              "name type operation code rejected", "Calls of an admission webhook."),
        _spec("apiserver_admission_webhook_rejection_count", "counter",
              "name type operation error_type rejection_code",
              "Requests that an admission webhook, or its failure, refused."),
        _spec("apiserver_admission_webhook_fail_open_count", "counter", "name type",
              "Failures of an admission webhook that were ignored."),
        _spec("apiserver_admission_match_condition_evaluation_errors_total", "counter",
              "name kind type operation", "Match conditions that could not be evaluated."),
        _spec("apiserver_admission_match_condition_exclusions_total", "counter",
              "name kind type operation", "Requests that a match condition left out."),
        _spec("apiserver_validating_admission_policy_check_total", "counter", _POLICY,
              "Decisions of validating admission policies."),
        _spec("apiserver_validating_admission_policy_check_duration_seconds", "histogram", _POLICY,
              "Time that the evaluation of a validating admission policy took.", POLICY_BUCKETS),
        _spec("apiserver_mutating_admission_policy_check_total", "counter", _POLICY,
              "Decisions of mutating admission policies."),
        _spec("apiserver_mutating_admission_policy_check_duration_seconds", "histogram", _POLICY,
              "Time that a mutation of a mutating admission policy took.", POLICY_BUCKETS),
        _spec("apiserver_crd_conversion_webhook_duration_seconds", "histogram",
              "crd_name from_version to_version succeeded",
              "Time that a conversion of custom objects by webhook took.", ATTEMPT_BUCKETS),
        _spec("apiserver_conversion_webhook_request_total", "counter", "result failure_type",
              "Calls of conversion webhooks."),
        _spec("apiserver_conversion_webhook_duration_seconds", "histogram",
              "result failure_type", "Time that a call of a conversion webhook took.",
              CONVERSION_BUCKETS),
        _spec("authentication_attempts", "counter", "result",
              "Requests that were authenticated: success, failure or error."),
        _spec("authentication_duration_seconds", "histogram", "result",
              "Time that authentication took.", ATTEMPT_BUCKETS),
        _spec("authorization_attempts_total", "counter", "result",
              "Requests that were authorized: allowed, denied, no-opinion or error."),
        _spec("authorization_duration_seconds", "histogram", "result",
              "Time that authorization took.", ATTEMPT_BUCKETS),
        _spec("apiserver_authorization_decisions_total", "counter", "decision name type",
              "Requests that an authorizer allowed or denied."),
        _spec("apiserver_authorization_webhook_evaluations_total", "counter", "name result",
              "Calls of authorization webhooks: success, canceled, timeout or error."),
        _spec("apiserver_authorization_webhook_duration_seconds", "histogram", "name result",
              "Time that a call of an authorization webhook took.", WEBHOOK_BUCKETS),
        _spec("apiserver_authorization_webhook_evaluations_fail_open_total", "counter",
              "name result", "Failures of authorization webhooks that count as no opinion."),
        _spec("apiserver_authorization_match_condition_evaluation_errors_total", "counter",
              "name type", "Match conditions of authorization webhooks that failed."),
        _spec("apiserver_authorization_match_condition_exclusions_total", "counter", "name type",
              "Requests that a match condition kept from an authorization webhook."),
        _spec("apiserver_authorization_match_condition_evaluation_seconds", "histogram",
              "name type", "Time that match conditions of an authorization webhook took.",
              MATCH_BUCKETS),
        _spec("apiserver_authentication_jwt_authenticator_latency_seconds", "histogram",
              "jwt_issuer_hash result", "Time that tokens of an issuer took: success or failure.",
              JWT_BUCKETS),
        _spec("apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
              "gauge", "apiserver_id_hash jwt_issuer_hash result",
              "When the keys of an issuer were last fetched: success or failure."),
        _spec("apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info", "gauge",
              "apiserver_id_hash hash jwt_issuer_hash",
              "1, with the hash of the keys of an issuer."),
        *(
            spec
            for subsystem in ("authentication", "authorization")
            for spec in (
                _spec(f"apiserver_{subsystem}_config_controller_automatic_reloads_total",
                      "counter", "apiserver_id_hash status",
                      f"Reloads of the {subsystem} configuration: success or failure."),
                _spec(f"apiserver_{subsystem}_config_controller_automatic_reload_last_timestamp"
                      "_seconds", "gauge", "apiserver_id_hash status",
                      f"When the {subsystem} configuration was last reloaded."),
                _spec(f"apiserver_{subsystem}_config_controller_last_config_info", "gauge",
                      "apiserver_id_hash hash",
                      f"1, with the hash of the {subsystem} configuration in force."),
            )
        ),
        _spec("apiserver_audit_event_total", "counter", "",
              "Audit events made and given to the backends."),
        _spec("apiserver_audit_error_total", "counter", "plugin",
              "Audit events that were lost: by the log, the webhook, full queues or truncation."),
        _spec("apiserver_audit_level_total", "counter", "level",
              "Requests by the level at which the policy audits them."),
        _spec("apiserver_audit_requests_rejected_total", "counter", "",
              "Requests refused since their audit event could not be kept."),
        _spec("kubernetes_build_info", "gauge",
              "major minor git_version git_commit git_tree_state build_date go_version compiler"
              " platform",
              "1, with the version served as labels."),
        _spec("kubernetes_feature_enabled", "gauge", "name stage",
              "1 for each feature gate that is on, 0 for those off."),
    )
}  # fmt: skip

PROCESS_SPECS = (
    _spec("process_cpu_seconds_total", "counter", "", "User and system time spent."),
    _spec("process_max_fds", "gauge", "", "File descriptors that may be open."),
    _spec("process_open_fds", "gauge", "", "File descriptors that are open."),
    _spec("process_resident_memory_bytes", "gauge", "", "Memory held."),
    _spec("process_start_time_seconds", "gauge", "", "Start, in seconds since the epoch."),
    _spec("process_virtual_memory_bytes", "gauge", "", "Address space held."),
)
