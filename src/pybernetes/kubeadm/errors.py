"""What kubeadm says when it stops: one clear text and an exit code. cmd/kubeadm.py prints it."""


class KubeadmError(Exception):
    """Stops the command; the text is for the user and says what to do."""

    exit_code = 1


class InvalidConfigError(KubeadmError):
    """Flags or the configuration file are wrong (upstream's exit code for it)."""

    exit_code = 3
