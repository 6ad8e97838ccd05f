"""What a server has decided about encodings is kept, is its own, and is bounded."""

import gc
import weakref

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import NotAcceptable
from pybernetes.apiserver import encodings
from pybernetes.apiserver.catalog import discovered
from pybernetes.apiserver.encodings import Choices

PODS = discovered().find("", "v1", "pods")
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def test_the_same_client_gets_the_same_encoding():
    choices = Choices(SystemClock())
    assert choices.of(PARTIAL, PODS, "Metadata") is choices.of(PARTIAL, PODS, "Metadata")
    assert choices.of(PARTIAL, PODS, "Metadata") is not choices.of("application/json", PODS, "Metadata")


def test_what_is_refused_is_refused_again():
    choices = Choices(SystemClock())
    for _ in range(2):
        with pytest.raises(NotAcceptable):
            choices.of("text/html", PODS, "Metadata")


def test_accept_headers_without_end_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(encodings, "_KEPT", 10)
    choices = Choices(SystemClock())
    for number in range(50):
        choices.of(f"application/json;odd={number}", PODS, "Metadata")
    assert len(choices._kept) <= 10
    choices.of("application/json," + "x/y," * 200, PODS, "Metadata")
    assert len(choices._kept) <= 10


def test_nothing_of_a_server_outlives_it():
    clock = SystemClock()
    choices = Choices(clock)
    choices.of(PARTIAL, PODS, "Metadata")
    kept = weakref.ref(clock)
    del clock, choices
    gc.collect()
    assert kept() is None


def test_servers_of_a_process_share_what_never_changes():
    assert discovered().find("", "v1", "pods") is PODS
    assert discovered() is not discovered()
