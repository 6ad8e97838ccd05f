"""The Container Runtime Interface: gRPC calls and containerd's event stream."""
