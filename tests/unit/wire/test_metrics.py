"""Prometheus' text format: what counters, gauges and histograms say, and that any label can be said."""

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential, labelled, process_lines, series, text


def test_a_family_says_nothing_before_its_first_value() -> None:
    assert text([Counter("a_total", "A."), Gauge("g", "G."), Distribution("d", "D.")]) == "\n"


def test_counters_and_gauges_have_their_labels() -> None:
    counter = Counter("a_total", "A.", "verb code", "STABLE")
    counter.add("get", "200")
    counter.add("get", "200", by=2)
    counter.add("put", "500")
    gauge = Gauge("g", "G.")
    gauge.set(1.5)
    assert text([counter, gauge], ["# more"]).splitlines() == [
        "# HELP a_total [STABLE] A.",
        "# TYPE a_total counter",
        'a_total{verb="get",code="200"} 3',
        'a_total{verb="put",code="500"} 1',
        "# HELP g [ALPHA] G.",
        "# TYPE g gauge",
        "g 1.5",
        "# more",
    ]
    gauge.clear()
    assert "g 1.5" not in text([gauge])


def test_buckets_hold_all_below_them() -> None:
    found = Distribution("d", "D.", "kind", bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        found.observe(value, "x")
    assert [*found.lines()][2:] == [
        'd_bucket{kind="x",le="1.0"} 2',
        'd_bucket{kind="x",le="2.0"} 3',
        'd_bucket{kind="x",le="+Inf"} 4',
        'd_sum{kind="x"} 12',
        'd_count{kind="x"} 4',
    ]
    assert exponential(0.005, 2, 3) == (0.005, 0.01, 0.02)


def test_a_value_may_have_its_time() -> None:
    assert series("s", "", 0.25, 1.5) == "s 0.25 1500"


@given(st.text(max_size=30))
def test_any_label_is_one_line_and_can_be_read_again(value: str) -> None:
    shown = labelled(("name",), (value,))
    assert "\n" not in shown
    inside = shown.removeprefix('name="').removesuffix('"')
    read, at = "", 0
    while at < len(inside):
        if inside[at] == "\\":
            read += {"n": "\n", '"': '"', "\\": "\\"}[inside[at + 1]]
            at += 2
            continue
        assert inside[at] != '"'
        read += inside[at]
        at += 1
    assert read == value


def test_a_process_tells_of_itself() -> None:
    values = {line.split()[0]: float(line.split()[1]) for line in process_lines(5.0) if not line.startswith("#")}
    assert values["process_start_time_seconds"] == 5
    assert 0 < values["process_open_fds"] < values["process_max_fds"]
    assert values["process_virtual_memory_bytes"] > values["process_resident_memory_bytes"] > 1 << 20
