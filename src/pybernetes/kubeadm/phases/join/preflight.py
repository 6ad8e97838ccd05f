"""Is this machine fit for a node? Changes nothing (a missing kernel module may be loaded). Next: discovery."""

import asyncio

from pybernetes.kubeadm.checks import join_checks, run_checks
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    config = context.config
    context.say("[preflight] Running pre-flight checks")
    checks = join_checks(context.paths, config.node, control_plane=config.control_plane is not None)
    await asyncio.to_thread(run_checks, checks, config.checks, context.warn)


PHASE = Phase(name="preflight", help="Run join pre-flight checks", run=_run)
