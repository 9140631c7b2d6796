"""The conformance kit: tests that every method must pass.

    python -m pytest --pyargs harness.methods.conformance --method NAME

Without ``--method`` every method is tested; ``--methods-dir DIR`` adds the methods in a custom folder.
"""
