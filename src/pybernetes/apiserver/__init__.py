"""The API server: one generic pipeline for all kinds and verbs. Start at pipeline.py."""
