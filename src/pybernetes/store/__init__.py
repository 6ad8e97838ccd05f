"""The Store protocol and its implementations, one file each; all pass tests/suites/store."""
