"""Test a topology without a broker, without an event loop, on a clock that only you move.

The driver runs the production task, commit, recovery and store code over a log
in memory. What it leaves out is what it cannot have: other workers.

    with TopologyTestDriver(app) as driver:
        driver.input_topic("lines").pipe(None, "a rose is a rose", timestamp=0)
        assert driver.output_topic("counts").read_key_values() == [...]
"""

from streamflow.testing.driver import DriverClock, TopologyTestDriver
from streamflow.testing.topics import InputTopic, OutputTopic

__all__ = ["DriverClock", "InputTopic", "OutputTopic", "TopologyTestDriver"]
