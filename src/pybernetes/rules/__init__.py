"""Pure arithmetic that several parts share: no I/O, no clock, no chance. Objects in, answers out."""
