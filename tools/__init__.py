"""What developers run: the generator, budgets, soak runs. Never imported by the product."""
