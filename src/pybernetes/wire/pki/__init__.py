"""Keys and certificates: making, signing, reading (X.509, PEM)."""
