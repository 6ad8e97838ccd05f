"""What crosses a wire: HTTP, TLS, certificates, codecs, streams. Knows bytes and objects, no API semantics."""
