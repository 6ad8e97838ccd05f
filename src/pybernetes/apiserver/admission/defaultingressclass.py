"""DefaultIngressClass: an Ingress that names no class gets the default one; of several the newest."""

from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import Followed, annotations
from pybernetes.apiserver.admission.defaultstorageclass import newest
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

CLASSES = GroupResource("networking.k8s.io", "ingressclasses")
_MARK = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"


def _start(registry: Registry, configuration: Object) -> Hooks:
    classes = Followed(registry, CLASSES)

    async def mutate(request: AdmissionRequest) -> None:
        spec = request.object.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OLD_CLASS in annotations(request.object):
            return
        default = newest([one for one in classes.of() if annotations(one).get(_MARK) == "true"])
        if default is not None:
            spec["ingressClassName"] = default["metadata"]["name"]

    return Hooks(mutate=mutate)


ADMISSION = Admission(
    name="DefaultIngressClass",
    order=280,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"ingresses.networking.k8s.io"}),
    start=_start,
)
