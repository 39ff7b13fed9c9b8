"""The contract between preprocessing and everything after it: which files, under which names.

The names are fMRIPrep 25.2's. This is the only list of them.
"""
