"""Requests of one run: limits of time."""

import asyncio

from pybernetes.kubectl import main


def test_a_server_that_does_not_answer_ends_at_the_request_timeout(capsys, tmp_path):
    (tmp_path / "config").write_text("apiVersion: v1\nkind: Config\n")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> int:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            flags = [f"--kubeconfig={tmp_path}/config", f"--server=http://127.0.0.1:{port}", "--request-timeout=50ms"]
            return await asyncio.to_thread(main.run, ["get", "pods", *flags])

    assert asyncio.run(run()) == 1
    assert capsys.readouterr().err == (
        "Unable to connect to the server: context deadline exceeded (Client.Timeout exceeded while awaiting headers)\n"
    )


def test_a_request_timeout_that_is_no_time_is_refused(capsys):
    assert main.run(["get", "pods", "--request-timeout=abc"]) == 1
    assert capsys.readouterr().err == (
        'error: invalid argument "abc" for "--request-timeout" flag: time: invalid duration "abc"\n'
    )
