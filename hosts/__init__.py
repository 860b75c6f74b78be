"""What `pulumi up` runs for a cluster's hosts: bring one up, let it join, replace it without an outage, remove it."""
