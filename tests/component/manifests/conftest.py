"""The real server of the conformance tests, for manifests as charts have them."""

from tests.component.conformance.conftest import api

__all__ = ["api"]
