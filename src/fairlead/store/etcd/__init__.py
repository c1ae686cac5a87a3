"""The distributed store: etcd v3, on which several API servers may work at once."""
