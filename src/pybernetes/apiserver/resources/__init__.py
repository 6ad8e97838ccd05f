"""API resources, one file each, found by discover(); the constant is RESOURCE."""
