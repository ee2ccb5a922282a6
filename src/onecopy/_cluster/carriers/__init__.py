"""The ways to reach hosts, one file each: ``loopback``, ``dask``, ``ray``."""
