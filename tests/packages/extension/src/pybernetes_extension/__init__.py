"""A scheduler plugin from outside: never lets a Pod onto a Node labelled `no-friday`."""

from pybernetes_extension.plugin import PLUGIN

NAME = 5

__all__ = ["NAME", "PLUGIN"]
