"""How brokers want to be spoken to: TLS and SASL. Nothing here is ever shown, secrets least of all."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka.errors import KafkaError

from streamflow.errors import ConfigError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@dataclass(frozen=True)
class Security:
    """``mechanism``, ``user`` and ``password`` are SASL's; ``token`` gives a bearer token (OAUTHBEARER).

    ``ca`` is a file of certificates to believe, ``certificate`` and ``key`` are the client's own (mutual TLS).
    """

    protocol: Protocol = "PLAINTEXT"
    mechanism: str = "PLAIN"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: Any = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True

    async def arguments(self) -> dict[str, Any]:
        """What aiokafka's connection is to be made with."""
        found: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol in ("SSL", "SASL_SSL"):
            found["ssl_context"] = self._context()
        if self.protocol.startswith("SASL"):
            logging.getLogger("aiokafka.conn").addFilter(_holds_no_secret)
            found["sasl_mechanism"] = self.mechanism
            if self.mechanism == "OAUTHBEARER":
                found["sasl_oauth_token_provider"] = _provider(self.token)
            else:
                found["sasl_plain_username"] = self.user
                found["sasl_plain_password"] = self.password
        return found

    def refused(self, error: KafkaError) -> str | None:
        """What to tell a person when a broker refused the credentials; None for other errors."""
        if "Authentication" not in type(error).__name__ and "Sasl" not in type(error).__name__:
            return None
        return f"{self.mechanism} for user {self.user!r} was refused ({type(error).__name__}); see the user and the password"

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, self.key_password)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(repr(file) for file in (self.ca, self.certificate, self.key) if file)
            raise ConfigError(f"the certificates {files} cannot be used: {error}") from None
        context.check_hostname = self.check_hostname
        return context


def _holds_no_secret(line: logging.LogRecord) -> bool:
    """Whether a line may be logged: at level DEBUG a connection shows its requests, those with a password too."""
    return "Sasl" not in line.getMessage()


def _provider(token: Any) -> Any:
    """A bearer token, or a function that gives one, as aiokafka asks for it."""
    from aiokafka.abc import AbstractTokenProvider

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        async def token(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            return str(token() if callable(token) else token)

    return Provider()
