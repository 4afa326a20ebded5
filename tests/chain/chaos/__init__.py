"""The whole chain while its parts are killed, paused and cut off in turn. `run.py` plays it, `verdict.py` judges it.

Called by `tests/chain/test_chaos.py` for a few minutes and by `benchmarks/chaos.py` for as long as one likes.
"""
