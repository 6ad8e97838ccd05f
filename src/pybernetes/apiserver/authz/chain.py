"""The chain of authorizers as one: reviews ask it the same question that the pipeline asks."""

from collections.abc import Sequence

from pybernetes.apiserver.extension import NOT_MINE, Attributes, Authorizer, Decision


class AuthorizerChain:
    """The first decision that is not NO_OPINION counts."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """NO_OPINION with all reasons where nobody decided."""
        reasons, no_opinion = [], Decision.NO_OPINION
        for authorizer in self._authorizers:
            said = authorizer.authorize(attributes)
            if said is NOT_MINE:
                continue
            decision, reason = said
            if decision is not no_opinion:
                return said
            if reason:
                reasons.append(reason)
        return Decision.NO_OPINION, "\n".join(reasons)
