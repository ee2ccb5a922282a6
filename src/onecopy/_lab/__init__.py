"""The lab: one file per experiment, each a question that is answered by measuring it here.

``onecopy lab`` lists them, ``onecopy lab NAME`` runs one in an interpreter of its own. An
experiment is a module in this package whose name does not begin with an underscore: it has
the face that ``_frame.face.Experiment`` describes, and is called by its file's name with
hyphens. Adding one is adding a file (and its page, ``docs/lab/NAME.md``, and its test,
``tests/processes/test_lab_NAME.py``).

What shows the standard library's behaviour is written as one finds it in programs, and to be
read: it stands in the experiment's file, or in ``programs/`` where it has to be a main
program of its own. How experiments are run, printed and made into a page is in ``_frame/``.
"""
