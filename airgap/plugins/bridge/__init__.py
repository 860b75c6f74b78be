"""What the offline plugins share: the wire format, and how the official ones make checks and plans of a schema.

Nothing here knows Docker: `docker_plugin` brings schemas and the calls to an engine. `command_plugin` needs only the
wire format and the server.
"""
