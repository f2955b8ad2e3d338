"""Realistic mixed traffic for a sidecar with the shipped policy, each request with the answer it has to get."""

import http.client
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from authz.slos.errors import SloSourceError

_SECONDS: Final = 30.0
_THREADS: Final = 4


class Question(NamedTuple):
    """One request, made by a holder of `role` (None: without a token), and the status it has to get."""

    role: str | None
    method: str
    path: str
    status: int


MIX: Final[tuple[tuple[int, Question], ...]] = (
    (24, Question("user_basic", "GET", "/memory", 200)),
    (14, Question("user_basic", "GET", "/memory/m-17", 200)),
    (10, Question("user_basic", "GET", "/photos", 200)),
    (8, Question("user_basic", "GET", "/users/user_basic/profile", 200)),
    (8, Question("user_premium", "POST", "/memory", 200)),
    (7, Question("user_premium", "PUT", "/calendar/events/e-4", 200)),
    (6, Question("user_premium", "POST", "/photos/p-9/share", 200)),
    (6, Question("caregiver_basic", "GET", "/care/c-1", 200)),
    (4, Question("admin_readonly", "GET", "/admin/users", 200)),
    (4, Question("admin", "PUT", "/admin/users/u-3", 200)),
    (6, Question(None, "GET", "/health", 200)),
    (1, Question(None, "GET", "/memory", 401)),
    (1, Question("user_basic", "PUT", "/calendar/events/e-4", 403)),
    (1, Question("user_basic", "GET", "/nothing/here", 403)),
)
"""How often, of a hundred: the day of an ordinary service, 3 % denials among it."""

ROLES: Final = tuple(dict.fromkeys(question.role for _, question in MIX if question.role))


class Driven(Struct, frozen=True):
    """What the generator saw: how many of each status, and every kind of wrong answer, a sentence each."""

    statuses: dict[int, int]
    wrong: tuple[str, ...]

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(self.statuses.values())


def drive(url: str, tokens: Mapping[str, str], requests: int, *, seed: int = 1) -> Driven:
    """Send so many requests to a decision listener, each with the token of a subject that is called as its only role.

    A share of them asks over AuthZEN, the rest as a gateway would. Raises SloSourceError when nobody answers.
    """
    weights, questions = zip(*MIX, strict=True)
    chosen = random.Random(seed).choices(questions, weights, k=requests)  # noqa: S311 - traffic, not secrets
    shares = [chosen[n::_THREADS] for n in range(_THREADS)]
    statuses: Counter[int] = Counter()
    wrong: Counter[str] = Counter()
    with ThreadPoolExecutor(_THREADS) as threads:
        for seen, amiss in threads.map(lambda share: _driven(url, tokens, share), shares):
            statuses += seen
            wrong += amiss
    return Driven(dict(statuses), tuple(f"{times} times {what}" for what, times in sorted(wrong.items())))


def _driven(url: str, tokens: Mapping[str, str], questions: Sequence[Question]) -> tuple[Counter[int], Counter[str]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
    statuses: Counter[int] = Counter()
    wrong: Counter[str] = Counter()
    try:
        for number, question in enumerate(questions):
            ask = _authzen if number % 5 == 4 and question.role else _gateway
            status, said = ask(connection, question, tokens)
            statuses[status] += 1
            # A 5xx is no answer: how many there may be is for the objectives to say.
            if said != question.status and said < 500:
                wrong[f"{said} for {question.method} {question.path}, where it is {question.status}"] += 1
    except (OSError, http.client.HTTPException) as error:
        raise SloSourceError(f"{url}: {type(error).__name__} {error}".rstrip()) from None
    finally:
        connection.close()
    return statuses, wrong


def _gateway(connection: http.client.HTTPConnection, question: Question, tokens: Mapping[str, str]) -> tuple[int, int]:
    status, _ = _sent(connection, question.method, f"/check/envoy{question.path}", b"", _headers(question, tokens))
    return status, status


def _authzen(connection: http.client.HTTPConnection, question: Question, tokens: Mapping[str, str]) -> tuple[int, int]:
    """As AuthZEN has it, a denial is a 200 too: what is said is in the body."""
    asked = {
        "subject": {"type": "user", "id": question.role},
        "action": {"name": question.method},
        "resource": {"type": "route", "id": question.path},
    }
    headers = {"Content-Type": "application/json", **_headers(question, tokens)}
    status, body = _sent(connection, "POST", "/access/v1/evaluation", msgspec.json.encode(asked), headers)
    if status != 200:
        return status, status
    allowed = msgspec.json.decode(body, type=dict[str, Any])["decision"] is True
    # A denial over AuthZEN does not say which kind; any kind is right where one was due.
    return status, 200 if allowed else max(question.status, 401)


def _sent(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    connection.request(method, path, body=body or None, headers=dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def _headers(question: Question, tokens: Mapping[str, str]) -> dict[str, str]:
    return {} if question.role is None else {"Authorization": f"Bearer {tokens[question.role]}"}
