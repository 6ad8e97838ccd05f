"""X.509: keys.py keeps keys, certificates.py issues and reads certificates and requests, jwks.py publishes keys."""
