"""Rolls up the logins of three applications, each with its own topic, into one table by cogrouping the three streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamflow import App, KGroupedStream


@dataclass
class Login:
    appId: str
    userId: str
    time: int


@dataclass
class Logins:
    loginByAppIdAndUserId: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])


def add(key: str, total: Logins, login: Login) -> Logins:
    users = total.loginByAppIdAndUserId.setdefault(key, {})
    users[login.userId] = users.get(login.userId, 0) + 1
    return total


def build() -> App:
    app = App("cogrouping")

    def logins(topic: str) -> KGroupedStream[str, Login]:
        return app.stream(topic, key=str, value=Login).group_by_key()

    first = logins("app-one-input").cogroup(add)
    all_of_them = first.cogroup(logins("app-two-input"), add).cogroup(logins("app-three-input"), add)
    all_of_them.aggregate(Logins, name="logins").to_stream().to("cogrouping-output")
    return app


app = build()
