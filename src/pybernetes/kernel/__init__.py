"""The Linux kernel from Python: namespaces, mounts, cgroups, netlink, nftables. Needs root for most of it."""
