"""PostgreSQL: a pool for what is occasional, own connections for what is hot. A Part of the process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from asyncpg.prepared_stmt import PreparedStatement

from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.errors import DatabaseUnavailable
from spaces_chassis.metrics import Metrics
from spaces_chassis.settings import DatabaseSettings

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:  # generic only in the stubs
    Connection = asyncpg.pool.PoolConnectionProxy

CONNECT_TIMEOUT_S = 3.0
# No statement of a service may take longer; a server that says nothing counts as down after this.
COMMAND_TIMEOUT_S = 10.0
WATCH_EVERY_S = 1.0
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)

# What says nothing about the statement: the same one may succeed in a moment.
_PASSING = (
    asyncpg.PostgresConnectionError,  # 08xxx
    asyncpg.OperatorInterventionError,  # 57xxx: shutdown, crash, statement timeout
    asyncpg.InsufficientResourcesError,  # 53xxx: too many connections, disk or memory full
    asyncpg.TransactionRollbackError,  # 40xxx: deadlock, serialization
    asyncpg.LockNotAvailableError,  # 55P03: lock_timeout
    asyncpg.ReadOnlySQLTransactionError,  # 25006: we still talk to a former primary
    # The server ended the session, and asyncpg has read that but not yet the end of the connection.
    asyncpg.InternalClientError,
)
# After these the connection is of no more use, though it looks open.
_SPOILED = (asyncpg.ReadOnlySQLTransactionError, asyncpg.InternalClientError)


async def _leave_as_it_is(_connection: object) -> None:
    """No statement of ours leaves anything in its session, so nothing is put back: that would be a round trip each.

    What belongs to a session (SET, LISTEN, advisory locks beyond a transaction) takes `Database.connect`.
    """


@contextlib.contextmanager
def unavailable_when_down() -> Iterator[None]:
    """Turns what passes by itself into DatabaseUnavailable; the statement's own errors go through."""
    try:
        yield
    except _PASSING as error:
        raise DatabaseUnavailable(f"the database is not available: {error}") from error
    except asyncpg.InterfaceError as error:
        if "closed" not in str(error) and "terminated" not in str(error):
            raise  # wrong use of the driver
        raise DatabaseUnavailable(f"the database is not available: {error}") from error
    except (OSError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise DatabaseUnavailable(f"the database is not available: {text}") from error


class HotStatement:
    """One statement, prepared once, on a connection of its own: for what runs at every request.

    Calls are made one after the other. A lost connection fails the call under way; the next one reconnects.
    """

    def __init__(self, database: "Database", sql: str, settings: Mapping[str, str]) -> None:
        self._database = database
        self._sql = sql
        self._settings = settings
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._statement: PreparedStatement[asyncpg.Record] | None = None

    async def fetch(self, *args: Any) -> list[asyncpg.Record]:
        """All rows. Raises DatabaseUnavailable."""
        async with self._lock:
            with unavailable_when_down():
                statement = await self._prepared()
                try:
                    return await statement.fetch(*args)
                except _SPOILED:
                    await self.close()
                    raise

    async def fetchrow(self, *args: Any) -> asyncpg.Record | None:
        """The first row. Raises DatabaseUnavailable."""
        rows = await self.fetch(*args)
        return rows[0] if rows else None

    async def fetchval(self, *args: Any) -> Any:
        """The first column of the first row. Raises DatabaseUnavailable."""
        row = await self.fetchrow(*args)
        return None if row is None else row[0]

    async def open(self) -> None:
        """Connects and prepares now. Raises DatabaseUnavailable, or what is wrong with the statement."""
        async with self._lock:
            with unavailable_when_down():
                await self._prepared()

    async def close(self) -> None:
        """Ends the connection."""
        connection, self._connection, self._statement = self._connection, None, None
        if connection is not None:
            connection.terminate()

    async def _prepared(self) -> "PreparedStatement[asyncpg.Record]":
        if self._statement is None or self._connection is None or self._connection.is_closed():
            await self.close()
            self._connection = await self._database.connect(self._settings)
            self._statement = await self._connection.prepare(self._sql)
        return self._statement


class Database:
    """The database of one service. Raises DatabaseUnavailable when the server is down or too busy."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        pool_size: int = 8,
        lock_timeout_ms: int = 2000,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.name = "database"
        self._url = url
        self._pool_size = pool_size
        self._clock = clock or SystemClock()
        self._server_settings = {
            "application_name": name,
            # A frozen peer that holds a lock must not freeze us: what waits longer is refused and tried again.
            "lock_timeout": str(lock_timeout_ms),
            # Compiling costs more than any statement of ours runs.
            "jit": "off",
        }
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._hot: list[HotStatement] = []
        self._since: float | None = None
        self._watch: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._connected = (metrics or Metrics(name)).gauge(
            "spaces_database_connected", "1 while the database answers"
        )

    @classmethod
    def from_settings(
        cls,
        settings: DatabaseSettings,
        *,
        name: str,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> "Database":
        """The database that the settings name. `name` is shown in pg_stat_activity."""
        return cls(
            settings.postgres_url.get_secret_value(),
            name=name,
            pool_size=settings.postgres_pool,
            clock=clock,
            metrics=metrics,
        )

    # --- Part ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Waits for the server as long as it takes, opens the pool, prepares the hot statements."""
        self._watch = asyncio.get_running_loop().create_task(
            self._watch_server(), name="database watch"
        )
        await self._first.wait()
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=min(2, self._pool_size),
            max_size=self._pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            max_inactive_connection_lifetime=300.0,
            server_settings=self._server_settings,
            reset=_leave_as_it_is,
        )
        for statement in self._hot:
            await statement.open()

    async def drain(self) -> None:
        """Nothing to do: who uses the database was drained before it."""

    async def stop(self) -> None:
        """Closes all connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        for statement in self._hot:
            await statement.close()
        if self._pool is not None:
            self._pool.terminate()

    def healthy(self) -> bool:
        """Whether the server answered the last time it was asked."""
        return self._since is not None

    @property
    def connected_for_s(self) -> float:
        """Seconds since the server was last (re)gained; 0 while it is away."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    # --- statements ---------------------------------------------------------------------------

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows."""
        async with self._acquired() as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row."""
        async with self._acquired() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row."""
        async with self._acquired() as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        """The command's tag, such as `UPDATE 1`."""
        async with self._acquired() as connection:
            return await connection.execute(sql, *args)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back when anything is raised.

        No network call inside. When COMMIT itself loses the connection, whether it happened is unknown.
        """
        async with self._acquired() as connection, connection.transaction():
            yield connection

    def hot(self, sql: str, *, settings: Mapping[str, str] | None = None) -> HotStatement:
        """A statement with a connection of its own; made before start it is ready when start returns.

        `settings` are the server's, such as `plan_cache_mode`, for that connection.
        """
        statement = HotStatement(self, sql, settings or {})
        self._hot.append(statement)
        return statement

    async def connect(
        self, server_settings: Mapping[str, str] | None = None
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of one's own, such as for advisory locks; the caller closes it."""
        with unavailable_when_down():
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings={**self._server_settings, **(server_settings or {})},
            )

    @contextlib.asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise DatabaseUnavailable("the database is not connected yet")
        with unavailable_when_down():
            # With a limit: when all connections are busy for that long, waiting makes it worse.
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                try:
                    yield connection
                except _SPOILED:
                    await self._pool.expire_connections()
                    raise

    # --- watching -----------------------------------------------------------------------------

    async def _watch_server(self) -> None:
        """Holds one connection: its end tells of a crash at once, its silence of a frozen server."""
        failures = 0
        while True:
            connection: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                connection = await self.connect()
                failures = 0
                await self._watch_connection(connection)
            except (DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._lost(error)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _watch_connection(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _connection: ended.set())
        while True:
            with unavailable_when_down():
                await connection.fetchval("SELECT 1", timeout=CONNECT_TIMEOUT_S)
            self._gained()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), WATCH_EVERY_S)
                raise DatabaseUnavailable("the server closed the connection")

    def _gained(self) -> None:
        if self._since is None:
            self._since = self._clock.monotonic()
            self._connected.set(1)
            self._first.set()
            log.info("database_connected")

    def _lost(self, error: Exception) -> None:
        if self._since is not None or not self._first.is_set():
            log.warning("database_unavailable", error=str(error))
        self._since = None
        self._connected.set(0)
