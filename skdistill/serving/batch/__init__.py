"""Score tables in files shard by shard, in runs that can be interrupted and resumed."""
