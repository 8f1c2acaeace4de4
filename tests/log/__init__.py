"""Tests of the log: the contract, which every transport keeps, and what is particular to the embedded one."""
