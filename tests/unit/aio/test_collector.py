"""The collector is put off for a block, and as it was afterwards."""

import gc
import threading

import pytest

from pybernetes.aio.collector import put_off


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_as_it_was_afterwards(enabled):
    try:
        if not enabled:
            gc.disable()
        with put_off():
            assert not gc.isenabled()
            with put_off():
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_an_error_does_not_leave_it_off():
    with pytest.raises(KeyError), put_off():
        raise KeyError
    assert gc.isenabled()


def test_the_last_of_several_threads_puts_it_on_again():
    inside, go = threading.Event(), threading.Event()

    def other() -> None:
        with put_off():
            inside.set()
            go.wait()

    thread = threading.Thread(target=other)
    with put_off():
        thread.start()
        inside.wait()
    assert not gc.isenabled()
    go.set()
    thread.join()
    assert gc.isenabled()
