"""--authorization-mode=AlwaysAllow: everybody may do everything. For tests, and to look at something without roles."""

from pybernetes.apiserver.extension import Attributes, Decision


class AlwaysAllow:
    """An Authorizer."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW."""
        return Decision.ALLOW, ""
