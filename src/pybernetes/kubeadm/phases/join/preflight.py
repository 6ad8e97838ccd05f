"""Is this machine fit for a node? Changes nothing (a missing kernel module may be loaded). Next: discovery."""

import asyncio

from pybernetes.kubeadm.checks import join_checks, run_checks
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    config = context.config
    context.say("[preflight] Running pre-flight checks")
    await asyncio.to_thread(run_checks, join_checks(context.paths, config.node), config.checks, context.warn)


PHASE = Phase(name="preflight", help="Run join pre-flight checks", run=_run)
