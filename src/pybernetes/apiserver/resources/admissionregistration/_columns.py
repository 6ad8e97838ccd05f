"""Columns of webhook configurations, policies and bindings."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.resources._columns import AGE, selector_text, spec

_UNSET = "<unset>"


def _param_kind(obj: Object) -> str:
    kind = spec(obj).get("paramKind")
    return _UNSET if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"


def _param_ref(obj: Object) -> str:
    ref = spec(obj).get("paramRef") or {}
    if ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{ref['name']}"
    return selector_text(ref["selector"]) if ref.get("selector") is not None else _UNSET


def policy_columns(counted: str) -> tuple[Column, ...]:
    """Of a policy whose items are `validations` or `mutations`."""
    return (
        Column(
            counted.capitalize(),
            lambda obj: len(spec(obj).get(counted) or ()),
            "integer",
            description=f"How many {counted} it has.",
        ),
        Column("ParamKind", _param_kind, description="The kind of its parameters."),
        AGE,
    )


WEBHOOK_COLUMNS = (
    Column("Webhooks", lambda obj: len(obj.get("webhooks") or ()), "integer", description="How many webhooks it has."),
    AGE,
)
BINDING_COLUMNS = (
    Column("PolicyName", lambda obj: spec(obj).get("policyName") or "", description="The policy that it binds."),
    Column("ParamRef", _param_ref, description="The parameters that it gives."),
    AGE,
)
