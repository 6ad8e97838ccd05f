"""Volume types, one file each, found by discover(); the constant is VOLUME."""
