"""Admission plugins, one file each, found by discover(); the constant is ADMISSION."""
