"""The image, the compose file and the StatefulSet say what streamflow really takes, and what its end and its start need."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from streamflow.cli import COMMANDS, cli
from streamflow.http.routes import ROUTES
from streamflow.run.signals import LONGEST
from tests.cli.shell import Shell

OPERATING = Path(__file__).parents[2] / "docs" / "operating"
COMPOSE: dict[str, Any] = yaml.safe_load((OPERATING / "compose.yml").read_text())
CLUSTER: dict[str, dict[str, Any]] = {
    each["kind"]: each for each in yaml.safe_load_all((OPERATING / "kubernetes.yml").read_text())
}
POD: dict[str, Any] = CLUSTER["StatefulSet"]["spec"]["template"]["spec"]
[WORKER] = POD["containers"]
IMAGE = (OPERATING / "Containerfile").read_text()


def commands() -> Iterator[list[str]]:
    """Arguments of streamflow in all three files."""
    yield [each.strip('"') for each in re.findall(r'"[^"]*"', re.findall(r"^CMD (.*)$", IMAGE, re.M)[0])]
    yield COMPOSE["services"]["worker"]["command"]
    for container in (*POD["initContainers"], WORKER):
        yield container["args"]


def variables() -> Iterator[str]:
    """Names of the environment in all three files."""
    yield from re.findall(r"\b(STREAMFLOW_\w+)=", IMAGE)
    yield from COMPOSE["services"]["worker"]["environment"]
    for container in (*POD["initContainers"], WORKER):
        yield from (each["name"] for each in container["env"])


@pytest.mark.parametrize("arguments", list(commands()), ids=shlex.join)
def test_every_command_is_one_that_streamflow_takes(arguments: list[str]) -> None:
    with cli.make_context("streamflow", list(arguments)) as context:
        name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        command.make_context(name, rest, parent=context).close()


def test_every_variable_is_that_of_an_option() -> None:
    known: set[str] = set()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            known.update([parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or [])
    told = set(variables())
    assert told <= known
    assert "STREAMFLOW_HTTP_TOKEN" in told


def test_what_a_script_is_run_with_there_runs_here(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("app.py", "from streamflow import App\napp = App('a')\napp.stream('in', value=str).to('out')\n")
    settings = {
        "STREAMFLOW_HTTP_TOKEN": "a-token-that-is-long-enough",
        "STREAMFLOW_LOG_FORMAT": "json",
        "STREAMFLOW_ADVERTISE": "10.1.2.3",
    }
    arguments = [*WORKER["args"], "--until-idle"]
    done = shell(*[":0".join(each.split(":8080")) for each in arguments], env=settings)
    assert done.returncode == 0, done.stderr
    assert "http://10.1.2.3:" in done.stderr


def test_a_worker_has_the_time_that_its_end_takes_and_no_shell_stands_before_it() -> None:
    assert POD["terminationGracePeriodSeconds"] > LONGEST
    assert int(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("s")) > LONGEST
    assert re.search(r'^ENTRYPOINT \["streamflow"\]$', IMAGE, re.M), "SIGTERM must reach the worker itself"


def test_probes_ask_for_what_is_there_and_a_long_restore_kills_nobody() -> None:
    paths = {route.path for route in ROUTES}
    probes = {name: WORKER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["path"] for probe in probes.values()} <= paths
    assert probes["liveness"]["path"] == "/health/live" and probes["readiness"]["path"] == "/health/ready"
    ports = {each["name"]: each["containerPort"] for each in WORKER["ports"]}
    assert all(probe["port"] in ports for probe in probes.values())


def test_state_lies_on_a_volume_of_the_pods_own() -> None:
    directory = next(each["value"] for each in WORKER["env"] if each["name"] == "STREAMFLOW_STATE_DIR")
    mounts = {each["mountPath"]: each["name"] for each in WORKER["volumeMounts"]}
    claims = [each["metadata"]["name"] for each in CLUSTER["StatefulSet"]["spec"]["volumeClaimTemplates"]]
    assert mounts[directory] in claims
    assert CLUSTER["StatefulSet"]["spec"]["serviceName"] == CLUSTER["Service"]["metadata"]["name"]
    chosen = CLUSTER["StatefulSet"]["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= CLUSTER["StatefulSet"]["spec"]["template"]["metadata"]["labels"].items()
