"""Errors of the local cluster. Each is one line that says what to do next."""


class LocalClusterError(RuntimeError):
    """Something of the local cluster cannot be done here; the text is meant for the user as it is."""


class MissingRequirement(LocalClusterError):
    """The machine lacks something; the text names the mend."""


class NodeDown(LocalClusterError):
    """The node is powered off."""
