"""The most at once, of this second and the one before."""

from pybernetes.apiserver.flowcontrol.watermark import Watermark


def test_a_peak_is_told_until_the_next_second_is_over():
    now = 10.2
    mark = Watermark(lambda: now)
    for change in (1, 1, 1, -1, -1):
        mark.add("mutating", change)
    assert mark.read() == {"readOnly": 0, "mutating": 3}
    now = 11.9
    assert mark.read()["mutating"] == 3
    now = 12.0
    assert mark.read()["mutating"] == 1, "what is still there"
    mark.add("mutating", -1)
    now = 20.0
    assert mark.read()["mutating"] == 0
