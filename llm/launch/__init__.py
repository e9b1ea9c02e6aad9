"""Many runs: sweeps over processes or a cluster, and the campaign for a GPU.

Imports everything of `llm` but its commands.
"""
