#!/bin/sh
# Installs what the project needs and is missing: Debian packages (as root) and the Python environment .venv.
# Says what it does, does nothing twice, and never starts a service.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
debian="containerd runc nftables libnftables1 docker-registry busybox-static iproute2 kmod procps python3-venv"
debian="$debian etcd-server etcd-client"

missing=""
for package in $debian; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing$missing"
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then # packages must not start their services on this machine
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
            trap 'rm -f "$policy"' EXIT
            trap 'exit 130' INT TERM HUP # dash runs the EXIT trap only on exit
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "setup: not installed (needs root: apt-get install$missing); node tests and the demo will say so" >&2
    fi
fi

stamp=.venv/.installed
wanted=$(sha256sum pyproject.toml | cut -d' ' -f1)
if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then # none, or one whose making was broken off
        echo "setup: making .venv"
        "$python" -m venv --clear .venv
    fi
    echo "setup: installing Python packages (about a minute)"
    .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'
    echo "$wanted" >"$stamp"
fi

# Clients under test that are not installed: Debian's old kubectl, unpacked beside the environment.
# The packages of node are fetched by their test.
old_kubectl=.venv/clients/kubernetes-client
if [ ! -x "$old_kubectl/usr/bin/kubectl" ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    mkdir -p "$old_kubectl"
    if (cd "$old_kubectl" && apt-get download -qq kubernetes-client 2>/dev/null); then
        echo "setup: unpacking Debian's kubernetes-client for the tests"
        dpkg-deb -x "$old_kubectl"/kubernetes-client_*.deb "$old_kubectl"
        rm "$old_kubectl"/kubernetes-client_*.deb
    else
        echo "setup: no kubernetes-client to be had; its tests will say so" >&2
    fi
fi
