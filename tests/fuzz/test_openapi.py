"""Requests made from our own OpenAPI documents by schemathesis: none is a fault of the server."""

import asyncio

import pytest
from tools.soak import openapi


@pytest.mark.skipif(not openapi.command().exists(), reason="schemathesis is a development dependency: make setup")
@pytest.mark.parametrize("document", ["apis/networking.k8s.io/v1", "apis/policy/v1"])
def test_what_the_document_offers_is_answered_in_a_form_it_names(document):
    assert asyncio.run(openapi.run([document], examples=3, seed=1)) == []
