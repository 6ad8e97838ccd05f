"""$(VARIABLE) in environment, command, arguments and subPathExpr: upstream's test/e2e/common/node/expansion.go."""

import pytest
from tests.node.conformance.place import statuses
from tests.node.conformance.pods import container, mount, pod, shell

FOO = [{"name": "FOO", "value": "foo-value"}, {"name": "BAR", "value": "bar-value"}]
EMPTY = [{"name": "v", "emptyDir": {}}]
POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
ANNOTATION = {"name": "ANNOTATION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}}}


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should allow composing env vars into new env vars [NodeConformance] [Conformance]"
)
async def test_variables_are_composed_of_earlier_ones(space):
    env = [*FOO, {"name": "FOOBAR", "value": "$(FOO);;$(BAR);;$(NONE);;$$(FOO)"}]
    printed = await space.output(pod("p", container("env", env=env)))
    assert "FOOBAR=foo-value;;bar-value;;$(NONE);;$(FOO)\n" in printed


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should allow substituting values in a container's command "
    "[NodeConformance] [Conformance]"
)
async def test_the_command_is_expanded(space):
    assert await space.output(pod("p", container("sh", "-c", 'echo "$(FOO)"', env=FOO))) == "foo-value\n"


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should allow substituting values in a container's args "
    "[NodeConformance] [Conformance]"
)
async def test_the_arguments_are_expanded(space):
    one = container("sh", "-c", args=['echo "$(FOO)"'], env=FOO)
    assert await space.output(pod("p", one)) == "foo-value\n"


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]"
)
async def test_a_subpath_is_expanded(space):
    mounts = [mount("/logs", subPathExpr="$(POD_NAME)"), mount("/all")]
    script = "touch /logs/file && ls -d /all/*/file"
    made = pod("expanded", shell(script, env=[POD_NAME], volumeMounts=mounts), volumes=EMPTY)
    assert await space.output(made) == "/all/expanded/file\n"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            "..",
            id="upwards",
            marks=pytest.mark.conformance(
                "[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks "
                "[Slow] [Conformance]"
            ),
        ),
        pytest.param(
            "/tmp",
            id="absolute",
            marks=pytest.mark.conformance(
                "[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path "
                "[Slow] [Conformance]"
            ),
        ),
    ],
)
async def test_a_subpath_that_leaves_the_volume_is_refused(space, path):
    env = [{"name": "PLACE", "value": path}]
    mounts = [mount("/logs", subPathExpr="$(PLACE)")]
    await space.create("pods", pod("p", container(env=env, volumeMounts=mounts), volumes=EMPTY))
    await space.until("p", lambda p: _waits(p) == "CreateContainerConfigError")
    assert (await space.get("p"))["status"]["phase"] == "Pending"


def _waits(found) -> str:
    return statuses(found).get("c", {}).get("state", {}).get("waiting", {}).get("reason", "")


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle "
    "of a container [Slow] [Conformance]"
)
async def test_a_subpath_that_cannot_be_expanded_is_tried_again_after_a_change(space):
    mounts = [mount("/sub", subPathExpr="$(ANNOTATION)/$(POD_NAME)")]
    made = pod("later", container(env=[ANNOTATION, POD_NAME], volumeMounts=mounts), volumes=EMPTY)
    made["metadata"]["annotations"] = {"notmysubpath": "mypath"}
    await space.create("pods", made)
    await space.until("later", lambda p: _waits(p) == "CreateContainerConfigError")
    await space.patch("later", {"metadata": {"annotations": {"mysubpath": "mypath"}}})
    await space.until("later", lambda p: p["status"]["phase"] == "Running")


@pytest.mark.conformance(
    "[sig-node] Variable Expansion should succeed in writing subpaths in container [Slow] [Conformance]"
)
async def test_what_is_written_in_a_subpath_is_in_the_volume_and_stays_there(space):
    mounts = [mount("/sub", subPathExpr="$(ANNOTATION)/$(POD_NAME)"), mount("/all")]
    made = pod("writer", container(env=[ANNOTATION, POD_NAME], volumeMounts=mounts), volumes=EMPTY)
    made["metadata"]["annotations"] = {"mysubpath": "mypath"}
    await space.run(made)
    assert (await space.exec("writer", "touch", "/sub/test.log"))[0] == 0
    assert (await space.exec("writer", "test", "-f", "/all/mypath/writer/test.log"))[0] == 0
    await space.patch("writer", {"metadata": {"annotations": {"mysubpath": "mynewpath"}}})
    assert (await space.exec("writer", "test", "-f", "/sub/test.log"))[0] == 0
    assert (await space.exec("writer", "ls", "/all"))[1] == "mypath\n"
    assert statuses(await space.get("writer"))["c"]["restartCount"] == 0
