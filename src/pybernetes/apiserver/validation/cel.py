"""Whether CEL expressions compile. The one seam that validation of policies, webhooks and device selectors asks.

Expressions are not compiled yet: whatever is written is taken as it is. Presence and length are checked by the callers.
"""

from pybernetes.apiserver.validation.fields import FieldErrors


def expression_faults(path: str, expression: str, *, variables: tuple[str, ...] = ()) -> FieldErrors:
    """Faults of an expression that may use these variables (`object`, `params`, `authorizer`, `device`, ...)."""
    yield from ()
