"""Is this machine fit for a control plane? Changes nothing (a missing kernel module may be loaded). Next: certs."""

import asyncio

from pybernetes.kubeadm.checks import init_checks, run_checks
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[InitConfig]) -> None:
    config = context.config
    context.say("[preflight] Running pre-flight checks")
    checks = init_checks(context.paths, config.node, config.bind_port)
    await asyncio.to_thread(run_checks, checks, config.checks, context.warn)


PHASE = Phase(name="preflight", help="Run pre-flight checks", run=_run)
