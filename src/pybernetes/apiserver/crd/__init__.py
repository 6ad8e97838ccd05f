"""Custom resources: what a CustomResourceDefinition declares, served by the same machinery as built-in kinds."""
