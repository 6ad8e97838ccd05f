"""A web page over the API; a client like any other."""
