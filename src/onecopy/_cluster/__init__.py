"""A pool on several hosts, with one copy of the data on each.

The driver is the process that made the pool. On each host stands an *agent*, a process with an
ordinary engine of its own. A *carrier* brings messages between the two; it knows who is there.

==============  ==============================================================================
``engine``      in the driver: the ``Engine`` of such a pool; ``setup`` makes it
``host``        one host as the driver sees it: its slots, what it has been sent
``senders``     the threads that send to hosts: one at a time, unless a host has to be waited for
``sending``     to one host: encodes what was assigned to it, ships what that refers to
``shipping``    which bytes of which segments a host has, and how it gets the others
``bulk``        the bytes of segments on their way, beside the messages
``arrivals``    what comes back from hosts
``losses``      a host has gone: what it held is given to others
``room``        a host has no room for some work, which is given to others
``questions``   to hosts, whose answers a caller waits for
``service``     the pool's own thread: cancelled tasks, work taken back, forgotten segments
``agent``       on a host: serves the driver's messages; ``host_engine``, ``mirrors``, ``given``
``carriers``    one file per way to reach hosts, behind the protocol in ``interface``
==============  ==============================================================================
"""
