"""The conformance kit: what every method must keep, run by pytest on any of them.

    python -m pytest --pyargs harness.methods.conformance --method NAME

Without ``--method`` every method is checked; ``--methods-dir DIR`` adds those in a folder of your own.
"""
