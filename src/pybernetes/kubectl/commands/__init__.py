"""kubectl's commands, one file each; the constant is COMMAND."""
