"""A deployer as many have one: kubectl, and an exit code. `python deploy.py NAMESPACE FILE...`"""

import subprocess
import sys


def kubectl(*arguments: str) -> str:
    """What kubectl says. Raises CalledProcessError."""
    return subprocess.run(["kubectl", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main(namespace: str, *files: str) -> int:
    """Applies the files and waits for the Deployments in them; takes a release back that does not come up."""
    applied = kubectl(
        "apply", "-n", namespace, *(word for file in files for word in ("-f", file)), "-o", "name"
    ).split()
    for name in applied:
        if not name.startswith("deployment.apps/"):
            continue
        try:
            kubectl("rollout", "status", "-n", namespace, name, "--timeout=5s")
        except subprocess.CalledProcessError:
            kubectl("rollout", "undo", "-n", namespace, name)
            print(f"{name} did not come up: it is what it was before", file=sys.stderr)
            return 1
    print(f"{len(applied)} objects are up in {namespace}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
