"""ImagePolicyWebhook: not there; to switch it on is an error, because what it should refuse would be admitted."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.extension import Admission, Hooks
from pybernetes.apiserver.registry import Registry


def _start(registry: Registry, configuration: Object) -> Hooks:
    raise ValueError("image review webhooks are not available; use a validating admission webhook or policy")


ADMISSION = Admission(name="ImagePolicyWebhook", order=110, start=_start, default_on=False)
