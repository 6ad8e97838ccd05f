"""A small operator with kopf: a Greeting becomes a ConfigMap, and says so in its status."""

import kopf
import kubernetes_asyncio.client as kubernetes
from kubernetes_asyncio.config import load_kube_config


@kopf.on.create("example.com", "v1", "greetings")
@kopf.on.update("example.com", "v1", "greetings")
async def greet(body: kopf.Body, spec: kopf.Spec, namespace: str, patch: kopf.Patch, **_: object) -> None:
    """Writes the ConfigMap of the Greeting's own name; it goes when the Greeting goes."""
    text = f"Hello, {spec['name']}!"
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": body.metadata.name},
        "data": {"text": text},
    }
    kopf.adopt(config_map, owner=body)
    await load_kube_config()
    async with kubernetes.ApiClient() as client:
        maps = kubernetes.CoreV1Api(client)
        try:
            await maps.create_namespaced_config_map(namespace, config_map)
        except kubernetes.ApiException as error:
            if error.status != 409:
                raise
            await maps.patch_namespaced_config_map(body.metadata.name, namespace, {"data": {"text": text}})
    patch.status["said"] = text
