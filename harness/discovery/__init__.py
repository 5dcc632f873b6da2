"""From a name to a plugin: references, options, parts with their identity, and what data and code are known by."""
