"""kubectl: the command line of every user. One file a command, imported only when asked for."""
