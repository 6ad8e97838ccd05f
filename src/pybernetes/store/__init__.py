"""The Store protocol (protocol.py) and its implementations, one file each; all pass tests/suites/store.py."""

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from pybernetes.store.protocol import StoreFactory, Unavailable

_NOT_STORES = {"dump", "protocol", "snapshots"}


def names() -> list[str]:
    """Every `--storage-backend` there is: the files of this package and the entry points `pybernetes.stores`."""
    own = {info.name for info in iter_modules(__path__) if not info.name.startswith("_")} - _NOT_STORES
    return sorted(own | {point.name for point in entry_points(group="pybernetes.stores")})


def factory(name: str) -> StoreFactory:
    """The STORE of that name; imports that one alone. Raises Unavailable with the names there are."""
    if name not in names():
        raise Unavailable(f'there is no store "{name}"; choose one of: {", ".join(names())}')
    for point in entry_points(group="pybernetes.stores", name=name):
        found = point.load()
        break
    else:
        found = import_module(f"{__name__}.{name}").STORE
    if not isinstance(found, StoreFactory):
        raise Unavailable(f'the store "{name}" is a {type(found).__name__}, wanted a StoreFactory')
    return found
