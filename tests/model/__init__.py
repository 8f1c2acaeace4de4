"""The commit protocol as an executable specification.

`worker.py` is the protocol (R0 to R5, commit, write-behind), `disk.py` one
store, `kafka.py`, `kafka_session.py` and `embedded.py` the two logs, `group.py`
membership, `world.py` the faults, `checks.py` what must hold and `mutants.py`
the known mistakes, each of which the checks must catch. Start with `worker.py`.

`pytest tests/model` runs 2,000 seeds of each variant and every mutant. Longer,
from the root of the repository:

    python -m tests.model 100000             all variants, seeds 0 to 99,999, on all cores
    python -m tests.model 100000 --from 7    seeds 7 to 100,006
    python -m tests.model 2000 --mutants     how many of the seeds catch each mutant
    python -m tests.model --seed 7 incl      one run: its faults and what it violates
"""
