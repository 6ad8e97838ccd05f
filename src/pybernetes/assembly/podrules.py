"""The API server's rules of Pods for a kubelet's manifests: the same defaults, the same validation, no server needed."""

import logging

from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import GroupVersionKind, Object
from pybernetes.apiserver.form import built_in
from pybernetes.apiserver.validation.meta import validate_object_meta
from pybernetes.apiserver.validation.pod.spec import validate_new_pod, validate_pod
from pybernetes.rules.poddefaults import default_pod

log = logging.getLogger(__name__)


class ManifestRules:
    """kubelet.manifests.PodRules."""

    def __init__(self) -> None:
        self._form = built_in(GroupVersionKind("", "v1", "Pod"))

    def decode(self, document: Object) -> Object:
        """Unknown fields are left out, with a warning, as the decoder of upstream's kubelet leaves them out. Raises ValueError."""
        try:
            found = self._form.walk(document)
        except BadRequest as refused:
            raise ValueError(refused.message) from None
        pod = found.object
        pod.setdefault("metadata", {})
        for problem in found.problems:
            log.warning("static Pod name=%s: %s", pod["metadata"].get("name", ""), problem)
        default_pod(pod)
        return pod

    def check(self, pod: Object) -> None:
        """Raises ValueError with all faults."""
        faults = [*validate_object_meta(pod, None, True), *validate_pod(pod), *validate_new_pod(pod)]
        if faults:
            raise ValueError(f"[{', '.join(map(str, faults))}]" if len(faults) > 1 else str(faults[0]))
