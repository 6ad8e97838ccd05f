"""The scheduler gives each Pod a Node: queue, snapshot, framework, plugins/."""
