"""The lab: one file per experiment. Each asks a question and answers it by measuring here.

``onecopy lab`` lists them, ``onecopy lab NAME`` runs one in its own interpreter. An experiment is a
module in this package whose name does not begin with an underscore: it has the members of
``_frame.face.Experiment``, and its name is the file's name with hyphens. Adding one is adding a
file (and its page, ``docs/lab/NAME.md``, and its test, ``tests/processes/test_lab_NAME.py``).

Code that shows the standard library's behaviour is written as in real programs, and to be read. It
is in the experiment's file, or in ``programs/`` if it has to be a main program. ``_frame/`` runs
experiments, prints them and turns them into a page.
"""
