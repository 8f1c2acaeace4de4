"""The product, whole and unmodified, in a world where time is virtual and everything goes wrong.

`loop.py` is an event loop that jumps from timer to timer in a seeded order,
`faults.py` the points at which something may happen, `disk.py` stores that
survive their process, `power.py` a power cut, `process.py` one simulated process
(an `EmbeddedLog` and a `Worker`, as they are shipped), `script.py` the
application it runs, `world.py` a run, `verdict.py` whether it was right, and
`mutants.py` known mistakes that must be noticed. Start with `world.py`.

`make test` runs a few hundred seeds. Longer, from the root of the repository:

    python -m tests.simulation 20000                 seeds 0 to 19,999, on all cores
    python -m tests.simulation 500 --from 3000       others
    python -m tests.simulation --seed 7              one run, with the product's own log messages
    python -m tests.simulation.mutants               the first seed that catches each mutant
"""
