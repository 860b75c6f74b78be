"""A laboratory: throw-away copies of the project with stacks of their own, on the platform of this checkout.

The integration tests and the measurements work here, so that neither ever touches a developer's stacks.
"""
