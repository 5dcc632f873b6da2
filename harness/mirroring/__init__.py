"""A store's mirror in a bucket: records, feature files and leases that machines without a common disk share."""
