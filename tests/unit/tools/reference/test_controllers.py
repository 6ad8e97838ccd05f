"""The page of the controllers: what is read from their source."""

from tools.reference.controllers import PACKAGE, Reach, page

from pybernetes.controllers.runtime import known


def test_every_controller_has_a_row_and_a_section():
    text = "\n".join(page())
    for name in known():
        assert f"| [{name}](#{name}) |" in text
        assert f"\n## {name}\n" in text


def test_reasons_are_those_of_the_code_that_is_reached_and_no_others():
    sets = Reach(PACKAGE, "replicaset").reasons()
    assert sets == {"FailedCreate", "FailedDelete", "SuccessfulCreate", "SuccessfulDelete"}
    assert "SuccessfulCreate" not in Reach(PACKAGE, "deployment").reasons()
    assert {"Suspended", "Resumed"} <= Reach(PACKAGE, "job").reasons()


def test_metrics_are_those_that_are_asked_for():
    assert "job_controller_job_syncs_total" in Reach(PACKAGE, "job").metrics()
    assert Reach(PACKAGE, "serviceaccount").metrics() == set()
