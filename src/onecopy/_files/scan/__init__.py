"""Datasets that are never loaded as a whole: described here, read block by block by workers.

``door`` has ``onecopy.scan``. ``handle`` has what it returns: a description that costs nothing to
send. ``tables`` and ``arrays`` cut files into blocks and read one; they read through the same
readers as ``onecopy.load``, so a block is what ``map_blocks`` cuts out of the loaded dataset.
"""
