"""Bytes to objects and back: JSON, YAML and protobuf, each with upstream's words for what it cannot read."""
