"""Links to containers' logs, as collectors of logs expect them."""

from pathlib import Path

from tests.unit.kubelet.pods import pod

from pybernetes.kubelet.log_links import link_of, make_link, remove_dead, remove_run


def test_a_link_is_named_after_pod_namespace_container_and_id(tmp_path: Path) -> None:
    assert link_of(tmp_path, pod(), "c", "1a2b").name == "web_default_c-1a2b.log"
    long = link_of(tmp_path, pod(meta={"name": "w" * 250}), "c", "1a2b").name
    assert (len(long), long[-4:]) == (255, ".log")


def test_a_removed_run_leaves_neither_log_nor_link(tmp_path: Path) -> None:
    logs, links = tmp_path / "pods" / "c", tmp_path / "containers"
    logs.mkdir(parents=True)
    for name in ("0.log", "0.log.20260101-000000", "1.log"):
        (logs / name).write_text("x")
    make_link(links / "web_default_c-a.log", logs / "0.log")
    make_link(links / "web_default_c-b.log", logs / "1.log")
    remove_run(links, logs / "0.log", "a")
    assert [f.name for f in logs.iterdir()] == ["1.log"]
    assert [f.name for f in links.iterdir()] == ["web_default_c-b.log"]


def test_dead_links_are_swept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    make_link(tmp_path / "containers" / "a.log", log)
    make_link(tmp_path / "containers" / "b.log", tmp_path / "gone")
    remove_dead(tmp_path / "containers")
    assert [f.name for f in (tmp_path / "containers").iterdir()] == ["a.log"]
    remove_dead(tmp_path / "nowhere")
