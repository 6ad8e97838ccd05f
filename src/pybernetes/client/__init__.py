"""The client side of the API: REST, informers, work queue, events, over any Transport."""
