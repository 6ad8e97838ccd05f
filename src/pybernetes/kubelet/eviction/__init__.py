"""Node-pressure eviction: signals.py says what is short, ranking.py who goes, storage.py who took too much; manager.py acts."""
