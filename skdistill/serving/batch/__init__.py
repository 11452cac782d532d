"""Tables in files, scored shard by shard: runs that can be stopped and go on."""
