"""CPython's own test suites, and joblib's, run on onecopy's classes.

The suites ship with the interpreter and with joblib; nothing of them is copied. They hold
what programs that use the standard classes rely on, written down by others::

    python -m tests.suites                    # every suite, under every start method
    python -m tests.suites pool --method fork -k imap

``substitutes`` puts our classes in the place of the standard ones, ``exclusions`` says which
tests are left out and why, ``parts`` finds the tests, ``child`` runs them and ``__main__``
looks after the child: a test that hangs or takes the process with it is a failure with a
traceback, and the next one is run all the same.
"""
