"""--authorization-mode=AlwaysAllow or AlwaysDeny: everybody may do everything, or nothing. For tests."""

from pybernetes.apiserver.extension import Attributes, Decision


class AlwaysAllow:
    """An Authorizer."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW."""
        return Decision.ALLOW, ""


class AlwaysDeny:
    """An Authorizer."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """NO_OPINION, as upstream's: nobody else says yes."""
        return Decision.NO_OPINION, "Everything is forbidden."
