"""Libraries that go to the network, read the clock or make random numbers, by the functions with which they do so.

Named by module and qualified name, so that none of them need be imported. A client that keeps a connection opens no socket
when it is used again: so what sends a request is named as well as what connects.
"""

from __future__ import annotations

from collections.abc import Iterable

NETWORK: dict[str, str] = {
    "requests.sessions": "Session.request Session.send",
    "urllib3.connectionpool": "HTTPConnectionPool.urlopen",
    "urllib3.poolmanager": "PoolManager.urlopen",
    "httpx._client": "Client.request Client.send AsyncClient.request AsyncClient.send",
    "httpx2._client": "Client.request Client.send AsyncClient.request AsyncClient.send",
    "httpcore._sync.connection_pool": "ConnectionPool.handle_request",
    "httpcore._async.connection_pool": "AsyncConnectionPool.handle_async_request",
    "aiohttp.client": "ClientSession._request ClientSession._ws_connect",
    "aiohttp.connector": "BaseConnector.connect",
    "http.client": "HTTPConnection.connect HTTPConnection.request HTTPConnection.putrequest HTTPConnection.send",
    "urllib.request": "urlopen OpenerDirector.open",
    "xmlrpc.client": "Transport.request",
    "ssl": "SSLContext.wrap_socket SSLSocket.connect get_server_certificate",
    "smtplib": "SMTP.connect SMTP.putcmd SMTP.sendmail SMTP.send_message",
    "ftplib": "FTP.connect FTP.putcmd",
    "imaplib": "IMAP4.open IMAP4._command",
    "poplib": "POP3.__init__ POP3._putcmd",
    "botocore.client": "BaseClient._make_api_call",
    "botocore.httpsession": "URLLib3Session.send",
    "aiobotocore.client": "AioBaseClient._make_api_call",
    "redis.client": "Redis.execute_command Pipeline.execute",
    "redis.connection": "AbstractConnection.connect AbstractConnection.send_packed_command",
    "redis.asyncio.client": "Redis.execute_command Pipeline.execute",
    "redis.asyncio.connection": "AbstractConnection.connect AbstractConnection.send_packed_command",
    "psycopg.connection": "Connection.connect",
    "psycopg.connection_async": "AsyncConnection.connect",
    "psycopg.cursor": "Cursor.execute Cursor.executemany",
    "psycopg.cursor_async": "AsyncCursor.execute AsyncCursor.executemany",
    "psycopg2": "connect",
    "asyncpg.connection": "connect Connection._execute Connection.execute",
    "pymysql.connections": "Connection.connect Connection.query",
    "pymongo.pool": "_create_connection",
    "pymongo.synchronous.pool": "Pool.connect",
    "pymongo.asynchronous.pool": "Pool.connect",
    "grpc": "insecure_channel secure_channel",
    "grpc._channel": (
        "_UnaryUnaryMultiCallable.__call__ _UnaryUnaryMultiCallable.with_call _UnaryUnaryMultiCallable.future "
        "_UnaryStreamMultiCallable.__call__ _SingleThreadedUnaryStreamMultiCallable.__call__ "
        "_StreamUnaryMultiCallable.__call__ _StreamUnaryMultiCallable.with_call _StreamUnaryMultiCallable.future "
        "_StreamStreamMultiCallable.__call__"
    ),
    "grpc.aio._channel": (
        "insecure_channel secure_channel UnaryUnaryMultiCallable.__call__ UnaryStreamMultiCallable.__call__ "
        "StreamUnaryMultiCallable.__call__ StreamStreamMultiCallable.__call__"
    ),
    "asyncio.streams": "open_connection start_server open_unix_connection start_unix_server",
}
"""Functions that go to the network."""

CLOCK: dict[str, str] = {
    "pendulum": "now today tomorrow yesterday",
    "pendulum.datetime": "DateTime.now DateTime.utcnow DateTime.today",
    "arrow.api": "now utcnow",
    "arrow.factory": "ArrowFactory.now ArrowFactory.utcnow",
    "arrow.arrow": "Arrow.now Arrow.utcnow",
    "whenever._pywhenever": "Instant.now ZonedDateTime.now OffsetDateTime.now",
    "django.utils.timezone": "now localtime localdate",
}
"""Functions that answer with the time. What libraries read for themselves is not meant: these are called to be told."""

UUID: dict[str, str] = {
    "uuid": "uuid1 uuid4 uuid6 uuid7 getnode",
    "uuid6": "uuid1 uuid6 uuid7 uuid8",
    "uuid_extensions.uuid7": "uuid7 uuid7str",
    "shortuuid.main": "ShortUUID.uuid ShortUUID.random",
    "ulid.ulid": "ULID.__init__",
    "nanoid.generate": "generate",
}
"""Functions that make an id that nobody else has."""


def names(table: dict[str, str]) -> Iterable[tuple[str, str]]:
    """Yield module and qualified name of every function in a table."""
    return ((module, name) for module, functions in table.items() for name in functions.split())
