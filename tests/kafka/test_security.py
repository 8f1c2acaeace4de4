"""A broker that wants TLS and a password: with a certificate made here, users by PLAIN and SCRAM, and nothing shown."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from streamflow.errors import ConfigError, LogError
from streamflow.log.open import open_log
from streamflow.topic import NewTopic
from tests.log.support import asynchronous

from .broker import Cluster, missing

SECRET, OTHER = "s3cret-of-alice", "s3cret-of-bob"
STORE = "made-for-a-test"


class Guarded(NamedTuple):
    hosts: str
    ca: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One broker behind SASL_SSL: alice by PLAIN, bob by SCRAM."""
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    folder = tmp_path_factory.mktemp("guarded")
    keystore, ca = folder / "broker.p12", folder / "ca.pem"
    keytool = ["keytool", "-keystore", str(keystore), "-storepass", STORE, "-alias", "broker"]
    named = ["-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1,dns:localhost", "-validity", "2"]
    subprocess.run([*keytool, "-genkeypair", "-keyalg", "RSA", *named], check=True, capture_output=True)
    shown = subprocess.run([*keytool, "-exportcert", "-rfc"], check=True, capture_output=True)
    ca.write_bytes(shown.stdout)
    module = "org.apache.kafka.common.security"
    settings = (
        f"ssl.keystore.location={keystore}\nssl.keystore.password={STORE}\nssl.keystore.type=PKCS12\n"
        f"ssl.truststore.location={keystore}\nssl.truststore.password={STORE}\nssl.truststore.type=PKCS12\n"
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\nsasl.mechanism.inter.broker.protocol=PLAIN\n"
        f"listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required "
        f'username="alice" password="{SECRET}" user_alice="{SECRET}";\n'
        f"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
    )
    cluster = Cluster(folder, settings=settings, listener="SASL_SSL", scram={"bob": OTHER}).start()
    yield Guarded(cluster.bootstrap, ca)
    cluster.stop()


async def works(url: str, topic: str) -> None:
    log = open_log(url)
    try:
        await log.start()
        await log.create_topics([NewTopic(topic, 2)])
        assert (await log.topics())[topic].partitions == 2
        session = log.session("guarded", topic)
        await session.init()
    finally:
        await log.close()


@asynchronous
async def test_users_come_in_by_plain_and_by_scram_over_tls(guarded: Guarded) -> None:
    await works(f"kafka+ssl://alice:{SECRET}@{guarded.hosts}?ca={guarded.ca}", "by-plain")
    await works(f"kafka+ssl://bob:{OTHER}@{guarded.hosts}?ca={guarded.ca}&mechanism=SCRAM-SHA-256", "by-scram")


@asynchronous
async def test_a_wrong_password_is_refused_and_told_without_it(guarded: Guarded) -> None:
    wrong = "not-the-password"
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        with pytest.raises((LogError, ConfigError)) as told:
            await works(f"kafka+ssl://bob:{wrong}@{guarded.hosts}?ca={guarded.ca}&mechanism={mechanism}", "never")
        assert "'bob' was refused" in str(told.value)
        assert wrong not in str(told.value)


@asynchronous
async def test_a_certificate_that_nobody_vouches_for_is_not_believed(guarded: Guarded) -> None:
    with pytest.raises((LogError, ConfigError), match="certificate"):
        await works(f"kafka+ssl://alice:{SECRET}@{guarded.hosts}", "never")


def test_the_command_line_takes_secrets_from_the_environment_and_shows_none(guarded: Guarded, tmp_path: Path) -> None:
    url = f"kafka+ssl://{guarded.hosts}?ca={guarded.ca}&mechanism=PLAIN"
    environment = {"STREAMFLOW_KAFKA_USER": "alice", "STREAMFLOW_KAFKA_PASSWORD": SECRET, "PATH": "/usr/bin:/bin"}

    def command(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streamflow", *words, "--broker", url], cwd=tmp_path, env={**environment, **changes},
            capture_output=True, text=True, timeout=60, input="a\nb\n",
        )  # fmt: skip

    made = command("topics", "create", "from-outside", "--partitions", "1")
    assert made.returncode == 0, made.stderr
    assert command("produce", "from-outside").returncode == 0
    read = command("consume", "from-outside", "--from-beginning", "--until-end", "--format", "raw")
    assert read.stdout.split() == ["a", "b"]
    refused = command("topics", "list", STREAMFLOW_KAFKA_PASSWORD="wrong-one")
    assert refused.returncode == 1
    assert "'alice' was refused" in refused.stderr
    for told in (made, read, refused):
        assert SECRET not in told.stdout + told.stderr and "wrong-one" not in told.stderr


@asynchronous
async def test_without_tls_users_come_in_by_scram_512_and_what_is_logged_holds_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    module = "org.apache.kafka.common.security"
    settings = (
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=PLAIN\n"
        f"listener.name.sasl_plaintext.plain.sasl.jaas.config={module}.plain.PlainLoginModule required "
        f'username="alice" password="{SECRET}" user_alice="{SECRET}";\n'
        f"listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
    )
    cluster = Cluster(tmp_path, settings=settings, listener="SASL_PLAINTEXT", scram={"bob": OTHER}).start()
    try:
        with caplog.at_level(logging.DEBUG):
            await works(f"kafka://alice:{SECRET}@{cluster.bootstrap}", "by-plain")
            await works(f"kafka://bob:{OTHER}@{cluster.bootstrap}?mechanism=SCRAM-SHA-512", "by-scram")
            with pytest.raises((LogError, ConfigError), match="'bob' was refused"):
                await works(f"kafka://bob:not-this@{cluster.bootstrap}?mechanism=SCRAM-SHA-512", "never")
    finally:
        cluster.stop()

    assert any("Request" in line.getMessage() for line in caplog.records), "nothing was logged of the requests"
    for secret in (SECRET, OTHER, "not-this"):
        assert secret not in caplog.text
