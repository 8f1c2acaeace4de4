"""Flags before environment before streamflow.toml before App(...) before defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamflow import App
from streamflow.config import address, apply, defaults, outside, read_file
from streamflow.errors import ConfigError
from tests.cli.shell import Shell


def in_force(folder: Path, *, flag: str | None, env: str | None, file: str | None, app: str | None) -> int:
    """The commit interval that holds when these say something."""
    if file is not None:
        (folder / "streamflow.toml").write_text(f'commit-interval = "{file}"\n')
    given = App("x", commit_interval=app) if app is not None else App("x")
    environ = {} if env is None else {"STREAMFLOW_COMMIT_INTERVAL": env}
    return apply(given.settings, outside({"commit_interval": flag}, folder, environ)).commit_interval_ms


@pytest.mark.parametrize(
    ("flag", "env", "file", "app", "found"),
    [
        ("1s", "2s", "3s", "4s", 1000),
        (None, "2s", "3s", "4s", 2000),
        (None, None, "3s", "4s", 3000),
        (None, None, None, "4s", 4000),
        (None, None, None, None, 100),
        ("1s", None, None, None, 1000),
        (None, "2s", None, None, 2000),
        (None, None, "3s", None, 3000),
    ],
)
def test_whoever_stands_first_decides(
    tmp_path: Path, flag: str | None, env: str | None, file: str | None, app: str | None, found: int
) -> None:
    assert in_force(tmp_path, flag=flag, env=env, file=file, app=app) == found


def test_settings_from_outside_are_checked_as_those_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "streamflow.toml").write_text('on-process-error = "ignore"\n')
    with pytest.raises(ConfigError, match="on_process_error is 'ignore'"):
        apply(App("x").settings, outside({}, tmp_path, {}))


def test_other_settings_stay_as_the_script_has_them(tmp_path: Path) -> None:
    app = App("x", max_future="1h", on_process_error="skip", topic_partitions=7)
    assert apply(app.settings, {}) == app.settings
    changed = apply(app.settings, outside({}, tmp_path, {"STREAMFLOW_TOPIC_PARTITIONS": "2"}))
    assert (changed.topic_partitions, changed.max_future_ms, changed.on_process_error) == (2, 3_600_000, "skip")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('brokr = "x"', "unknown setting 'brokr'; did you mean 'broker'?"),
        ("workers = true", "workers is True; write a whole number"),
        ("broker = 1", "broker is 1; write a text in quotes"),
        ("broker = ", "streamflow.toml is not TOML"),
    ],
)
def test_a_wrong_file_is_told_with_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "streamflow.toml").write_text(text + "\n")
    with pytest.raises(ConfigError) as error:
        read_file(tmp_path)
    assert told in str(error.value)


def test_names_may_have_hyphens_or_underscores(tmp_path: Path) -> None:
    (tmp_path / "streamflow.toml").write_text('state-dir = "a"\nlog_level = "info"\n')
    assert defaults(tmp_path) == {"state_dir": "a", "log_level": "info"}


def test_a_number_in_the_environment_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="STREAMFLOW_TOPIC_PARTITIONS is 'four'; write a whole number"):
        outside({}, tmp_path, {"STREAMFLOW_TOPIC_PARTITIONS": "four"})


@pytest.mark.parametrize("text", ["8080x", "host:", "host:99999", "host"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        address(text)


def topics_of(shell: Shell, broker: str) -> str:
    return shell.good("topics", "list", "--broker", broker)


def test_the_command_line_keeps_the_order(shell: Shell) -> None:
    shell.write("streamflow.toml", 'broker = "embedded://from-file"\n')
    env = {"STREAMFLOW_BROKER": "embedded://from-env"}
    shell.good("produce", "a", text="x\n")
    shell.good("produce", "b", text="x\n", env=env)
    shell.good("produce", "c", "--broker", "embedded://from-flag", text="x\n", env=env)
    for place, topic in (("file", "a"), ("env", "b"), ("flag", "c")):
        assert topics_of(shell, f"embedded://from-{place}").split()[3] == topic


def test_run_takes_its_broker_from_the_script_last(shell: Shell) -> None:
    shell.write(
        "app.py", "from streamflow import App\napp = App('x', broker='embedded://own')\napp.stream('in').to('out')\n"
    )
    shell.good("run", "app.py", "--until-idle", "--no-http")
    assert (shell.folder / "own").is_dir()
    assert not (shell.folder / ".streamflow" / "log.db").exists()
    shell.good("run", "app.py", "--until-idle", env={"STREAMFLOW_BROKER": "embedded://env", "STREAMFLOW_NO_HTTP": "1"})
    assert (shell.folder / "env").is_dir()
