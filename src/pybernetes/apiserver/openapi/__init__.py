"""OpenAPI: /openapi/v3 by group version and /openapi/v2 as one document, made from what is served."""
