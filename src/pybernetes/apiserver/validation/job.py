"""spec of Jobs, and of the Jobs that CronJobs make. Status has job_status.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, invalid_whole, non_negative, too_many
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.paths import domain_prefixed_path
from pybernetes.apiserver.validation.pod.spec import validate_template
from pybernetes.rules import indexes

INDEXED = "Indexed"
_MODES = ("NonIndexed", INDEXED)
_COUNTS = (
    *("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
    *("backoffLimitPerIndex", "maxFailedIndexes"),
)
_PARALLELISM_LIMIT = _FAILED_INDEXES_LIMIT = 100_000
_MANY = 100_000
"""Completions above which failures by index need tighter limits."""
_MANY_LIMIT = 10_000
_RULES_LIMIT = 20
_CONDITIONS_LIMIT = 20
_EXIT_CODES_LIMIT = 255
_INDEXES_TEXT_LIMIT = 64 * 1024
_MANAGER_LIMIT = 63
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATES = ("False", "True", "Unknown")


def validate_job_spec(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Everything but the selector."""
    for field in _COUNTS:
        yield from non_negative(f"{path}.{field}", spec.get(field))
        if field == "maxFailedIndexes" and spec.get(field) is not None and spec.get("backoffLimitPerIndex") is None:
            yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        yield from domain_prefixed_path(f"{path}.managedBy", manager)
        if len(manager.encode()) > _MANAGER_LIMIT:
            yield too_long(f"{path}.managedBy", _MANAGER_LIMIT)
    yield from _mode(spec, path)
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        yield from _failure_policy(spec, policy, f"{path}.podFailurePolicy")
    success = spec.get("successPolicy")
    if success is not None:
        if spec.get("completionMode") != INDEXED:
            shown = internal(success, "io.k8s.api.batch.v1.SuccessPolicy")
            yield invalid_value(f"{path}.successPolicy", shown, "requires indexed completion mode")
        else:
            yield from _success_policy(spec, success, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, allowed)
    template = spec.get("template") or {}
    yield from validate_template(template, f"{path}.template")
    yield from _restart(template, policy is not None, f"{path}.template.spec.restartPolicy")


def _restart(template: Mapping[str, Any], never: bool, path: str) -> FieldErrors:
    restart = (template.get("spec") or {}).get("restartPolicy") or "Always"
    if restart == "Always":
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        yield not_supported(path, restart, ("OnFailure", "Never"))
    elif never and restart != "Never":
        yield invalid_value(path, restart, 'only "Never" is supported when podFailurePolicy is specified')


def _mode(spec: Mapping[str, Any], path: str) -> FieldErrors:
    mode = spec.get("completionMode")
    if mode is not None and mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == INDEXED:
        yield from _indexed(spec, path)
    if mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                yield invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode")


def _indexed(spec: Mapping[str, Any], path: str) -> FieldErrors:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > _PARALLELISM_LIMIT:
        text = f"must be less than or equal to {_PARALLELISM_LIMIT} when completion mode is Indexed"
        yield invalid_value(f"{path}.parallelism", parallelism, text)
    if completions is not None and failed is not None and failed > completions:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _FAILED_INDEXES_LIMIT:
        yield invalid_value(
            f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_FAILED_INDEXES_LIMIT}"
        )
    if (completions or 0) <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    text = (
        f"must be less than or equal to {_MANY_LIMIT} when completions are above {_MANY} and used with backoff limit"
        " per index"
    )
    if failed is None:
        yield required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {_MANY}")
    if parallelism > _MANY_LIMIT:
        yield invalid_value(f"{path}.parallelism", parallelism, text)
    if (failed or 0) > _MANY_LIMIT:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, text)


# --- what failures and successes mean


def _chosen(field: str, value: str | None, supported: Sequence[str]) -> FieldErrors:
    if not value:
        listed = " ".join(f'"{item}"' for item in supported)
        yield required(field, f"valid values: [{listed}]")
    elif value not in supported:
        yield not_supported(field, value, supported)


def _failure_policy(spec: Mapping[str, Any], policy: Mapping[str, Any], path: str) -> FieldErrors:
    rules = policy.get("rules") or ()
    if len(rules) > _RULES_LIMIT:
        yield too_many(f"{path}.rules", len(rules), _RULES_LIMIT)
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {
        container.get("name") for kind in ("containers", "initContainers") for container in pod.get(kind) or ()
    }
    for at, rule in each(policy, "rules", path):
        action = rule.get("action")
        if action == "FailIndex":
            if spec.get("backoffLimitPerIndex") is None:
                yield invalid_value(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        else:
            yield from _chosen(f"{at}.action", action, _ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None:
            yield from _exit_codes(codes, containers, f"{at}.onExitCodes")
        if conditions:
            yield from _conditions(rule, conditions, at)
        if codes is not None and conditions:
            yield invalid_whole(at, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            yield invalid_whole(at, "specifying one of OnExitCodes and OnPodConditions is required")


def _conditions(rule: Mapping[str, Any], conditions: Sequence[Any], path: str) -> FieldErrors:
    if len(conditions) > _CONDITIONS_LIMIT:
        yield too_many(f"{path}.onPodConditions", len(conditions), _CONDITIONS_LIMIT)
    for at, pattern in each(rule, "onPodConditions", path):
        kind = pattern.get("type") or ""
        yield from check(f"{at}.type", kind, names.qualified_name(kind))
        yield from _chosen(f"{at}.status", pattern.get("status"), _STATES)


def _exit_codes(codes: Mapping[str, Any], containers: set[Any], path: str) -> FieldErrors:
    operator, values = codes.get("operator"), codes.get("values") or []
    yield from _chosen(f"{path}.operator", operator, _OPERATORS)
    container = codes.get("containerName")
    if container is not None and container not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        yield invalid_value(f"{path}.containerName", container, text)
    if not values:
        yield invalid_value(f"{path}.values", codes.get("values"), "at least one value is required")
    elif len(values) > _EXIT_CODES_LIMIT:
        yield too_many(f"{path}.values", len(values), _EXIT_CODES_LIMIT)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid_value(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{path}.values[{index}]", value)
        seen.add(value)
    if sorted(values) != list(values):
        yield invalid_value(f"{path}.values", values, "must be ordered")


def _success_policy(spec: Mapping[str, Any], policy: Mapping[str, Any], path: str) -> FieldErrors:
    rules, completions = policy.get("rules") or (), spec.get("completions") or 0
    if not rules:
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _RULES_LIMIT:
        yield too_many(f"{path}.rules", len(rules), _RULES_LIMIT)
    for at, rule in each(policy, "rules", path):
        yield from _success_rule(rule, completions, at)


def _success_rule(rule: Mapping[str, Any], completions: int, path: str) -> FieldErrors:
    count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and listed is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if listed is not None:
        if len(listed.encode()) > _INDEXES_TEXT_LIMIT:
            yield too_long(f"{path}.succeededIndexes", _INDEXES_TEXT_LIMIT)
        try:
            total = indexes.count(listed, completions)
        except ValueError as error:
            yield invalid_value(f"{path}.succeededIndexes", listed, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    at = f"{path}.succeededCount"
    yield from non_negative(at, count)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid_value(at, count, text)
    if listed is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        yield invalid_value(at, count, text)
