"""A cluster inside a test process."""
