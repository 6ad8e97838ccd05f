"""Every resource in memory as bytes with an envelope; serves reads and fans out watch events."""
