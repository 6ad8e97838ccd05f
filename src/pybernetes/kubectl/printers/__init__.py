"""What kubectl prints: tables, YAML, JSON, names, descriptions."""
