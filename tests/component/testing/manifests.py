"""Manifests that tests of clusters inside tests share."""

from typing import Any

SHOP = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.example.org}
spec:
  group: example.org
  names: {plural: shops, singular: shop, kind: Shop, listKind: ShopList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {doors: {type: integer}}}}}}
    additionalPrinterColumns: [{name: Doors, type: integer, jsonPath: .spec.doors}]
---
apiVersion: example.org/v1
kind: Shop
metadata: {name: corner}
spec: {doors: 2}
"""
"""A definition of a custom resource with a column of its own, and an object of it."""


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """A Deployment of one container."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}},
        },
    }
