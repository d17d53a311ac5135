"""What runs shards: processes of this machine, or Ray."""
