"""Who asks: x509, ServiceAccount JWT, bootstrap token, token file."""
