"""Real ClickHouse servers for tests, on loopback: a current one, and Debian's 18.16, replicated, with ZooKeeper.

- `Modern` is 26.7: everything but Replicated tables, for which it lacks a Keeper. 0.5 s and 220 MB.
- `Cluster` is 18.16 in shards and replicas, cluster name `fleet`, macros `{shard}` and `{replica}`. 2 s, 85 MB a server
  and 75 MB for ZooKeeper. A replica that was killed needs some 10 s to take part again: `Cluster.settle`.

Users of both: `default` without a password, `sidelog` with `secret`, and `reader` with `readonly`, who only reads.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from tests.fleet.process import ServerError, ServerProcess, start_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HERE = Path(__file__).parent
_LIBRARY = Path(__file__).parents[2] / "build/packed/chdb/libchdb.so"
_JARS = (
    *("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "netty-*", "jackson-*", "commons-cli", "commons-io"),
    *("snappy-java", "metrics-core", "dropwizard-metrics*", "log4j-1.2", "jetty9-*"),
)
_SETTLE_S = 60.0

_USERS = """<{root}>
 <profiles>
  <default><max_memory_usage>4000000000</max_memory_usage></default>
  <readonly><readonly>2</readonly></readonly>
 </profiles>
 <users>
  <default><password></password>{common}<profile>default</profile>{management}</default>
  <sidelog><password>secret</password>{common}<profile>default</profile></sidelog>
  <reader><password>readonly</password>{common}<profile>readonly</profile></reader>
 </users>
 <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors>
  <result_rows>0</result_rows><read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas>
</{root}>
"""
_COMMON = "<networks><ip>127.0.0.1</ip></networks><quota>default</quota>"

_MODERN = """<clickhouse>
 <user_directories>
  <users_xml><path>{folder}/users.xml</path></users_xml>
  <local_directory><path>{folder}/access/</path></local_directory>
 </user_directories>
 <remote_servers><fleet><shard><replica><host>127.0.0.1</host><port>{tcp}</port></replica></shard></fleet></remote_servers>
</clickhouse>
"""

_OLD = """<yandex>
 <logger><level>information</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog>
  <size>20M</size><count>1</count></logger>
 <listen_host>127.0.0.1</listen_host><http_port>{ports[0]}</http_port><tcp_port>{ports[1]}</tcp_port>
 <interserver_http_port>{ports[2]}</interserver_http_port><interserver_http_host>127.0.0.1</interserver_http_host>
 <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><user_files_path>{folder}/files/</user_files_path>
 <format_schema_path>{folder}/schemas/</format_schema_path>
 <users_config>{folder}/users.xml</users_config>
 <default_profile>default</default_profile><default_database>default</default_database><timezone>UTC</timezone>
 <mark_cache_size>268435456</mark_cache_size><uncompressed_cache_size>67108864</uncompressed_cache_size>
 <max_concurrent_queries>50</max_concurrent_queries><keep_alive_timeout>3</keep_alive_timeout>
 <zookeeper><node><host>127.0.0.1</host><port>{zookeeper}</port></node><session_timeout_ms>4000</session_timeout_ms></zookeeper>
 <distributed_ddl><path>/clickhouse/ddl</path></distributed_ddl>
 <macros><shard>{shard}</shard><replica>r{replica}</replica></macros>
 <remote_servers><fleet>{shards}</fleet></remote_servers>
</yandex>
"""


class Refused(Exception):  # noqa: N818 - it is what a server answers, not a fault of the test
    """A server answered with an error: HTTP status, code of ClickHouse, and its words."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text.strip()[:500]}")
        self.status, self.code, self.text = status, code, text


class ClickHouse(ServerProcess):
    """A server of either kind, asked over plain HTTP."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def answers(self) -> bool:
        return self._exchange("GET", "/ping", b"", {}, timeout_s=2)[1] == b"Ok.\n"

    def ask(
        self,
        sql: str,
        body: bytes | str = b"",
        *,
        user: str = "default",
        password: str = "",
        timeout_s: float = 60.0,
        **settings: object,
    ) -> str:
        """The answer as text; `settings` go into the address, `database` among them.

        Raises:
            Refused: the server answered with an error.
            OSError, http.client.HTTPException: it did not answer.
        """
        data = body.encode() if isinstance(body, str) else body
        path = "/?" + urlencode({**settings, **({"query": sql} if data else {})})
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        status, answer = self._exchange("POST", path, data or sql.encode(), headers, timeout_s=timeout_s)
        text = answer.decode(errors="replace")
        if status != http.client.OK:
            code = text.partition("Code: ")[2].partition(",")[0].partition(".")[0]
            raise Refused(status, int(code) if code.isdigit() else 0, text)
        return text

    def rows(self, sql: str, **settings: Any) -> list[tuple[Any, ...]]:
        """The rows of a SELECT."""
        text = self.ask(f"{sql} FORMAT JSONCompact", output_format_json_quote_64bit_integers=0, **settings)
        return [tuple(row) for row in json.loads(text)["data"]]

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A new database, which is gone afterwards where the server is still there."""
        with _database([self]) as place:
            yield place

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str], *, timeout_s: float
    ) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=timeout_s)) as line:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, answer.read()


class Modern(ClickHouse):
    """A current server. Given `size_mib` and root, its data lie on a disk of that size: `fill`, `free`."""

    def __init__(self, folder: Path, size_mib: int = 0) -> None:
        super().__init__(folder, ports=2)
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self._size_mib = size_mib
        (folder / "access").mkdir(exist_ok=True)
        management = "<access_management>1</access_management>"
        (folder / "users.xml").write_text(_USERS.format(root="clickhouse", common=_COMMON, management=management))
        (folder / "config.xml").write_text(_MODERN.format(folder=folder, tcp=self.ports[1]))

    def command(self) -> Sequence[str]:
        return [
            *(self._on_a_disk() if self._size_mib else ()),
            *(sys.executable, "-ISE", str(_HERE / "listening.py"), os.environ.get("SIDELOG_LIBCHDB", str(_LIBRARY))),
            *(f"--path={self.data}", f"--config-file={self.folder}/config.xml", "--listen_host=127.0.0.1"),
            *(f"--http_port={self.ports[0]}", f"--tcp_port={self.ports[1]}"),
        ]

    def _on_a_disk(self) -> Sequence[str]:
        """Gives a command a disk that nobody else sees, and that is gone with it, whatever ends it."""
        script = f'mount -t tmpfs -o size={self._size_mib}m tmpfs "$0" && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(self.data)]

    @property
    def _ballast(self) -> Path:
        return Path(f"/proc/{self.pid}/root{self.data}/ballast")

    def fill(self) -> None:
        """Leave no byte of its disk free."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while ballast.write(bytes(1 << 16)):
                pass

    def free(self) -> None:
        """Undo `fill`."""
        self._ballast.unlink()


class ZooKeeper(ServerProcess):
    """Debian's ZooKeeper, without the scripts of its package. Without it, Replicated tables can only be read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ports=1)
        settings = {
            "tickTime": 500,
            "minSessionTimeout": 1000,
            "dataDir": folder / "data",
            "clientPort": self.ports[0],
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "forceSync": "no",
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "ruok",
        }
        (folder / "zoo.cfg").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def command(self) -> Sequence[str]:
        jars = [str(path) for name in _JARS for path in sorted(Path("/usr/share/java").glob(f"{name}.jar"))]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", "-Xmx256m", "-cp", ":".join(jars), main, str(self.folder / "zoo.cfg")]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.ports[0]), timeout=2) as line:
            line.sendall(b"ruok")
            return line.recv(16).startswith(b"imok")


class Old(ClickHouse):
    """One server of a `Cluster`."""

    tries = (
        8  # once it has tables, one start in seven ends with "std::system_error: Invalid argument": a race of its own
    )

    def __init__(self, folder: Path, shard: int, replica: int) -> None:
        super().__init__(folder, ports=3)
        self.shard, self.replica = shard, replica
        for name in ("data", "tmp", "files", "schemas"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "users.xml").write_text(_USERS.format(root="yandex", common=_COMMON, management=""))

    def command(self) -> Sequence[str]:
        return ["clickhouse-server", f"--config-file={self.folder}/config.xml"]


class Cluster:
    """Servers of 18.16: `servers` by the names s1r1, s1r2, s2r1 …, and their ZooKeeper."""

    def __init__(self, folder: Path, shards: int = 1, replicas: int = 2) -> None:
        self.zookeeper = ZooKeeper(folder / "zookeeper")
        self.servers = {
            f"s{shard}r{replica}": Old(folder / f"s{shard}r{replica}", shard, replica)
            for shard in range(1, shards + 1)
            for replica in range(1, replicas + 1)
        }
        layout = "".join(self._shard(shard) for shard in range(1, shards + 1))
        for one in self.servers.values():
            values = {"ports": one.ports, "shard": one.shard, "replica": one.replica, "shards": layout}
            text = _OLD.format(folder=one.folder, zookeeper=self.zookeeper.ports[0], **values)
            (one.folder / "config.xml").write_text(text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self.servers.values(), self.zookeeper):
            one.kill()

    def __getitem__(self, name: str) -> Old:
        return self.servers[name]

    @property
    def first(self) -> Old:
        return self.servers["s1r1"]

    def start(self) -> None:
        """Start what does not run."""
        revived = not all(one.is_alive for one in (self.zookeeper, *self.servers.values()))
        self.zookeeper.start()
        start_all(self.servers.values())
        if revived:
            self.settle()

    def settle(self) -> None:
        """Wait until every Replicated table can be written to on every server that runs, and has all that it lacks.

        Raises:
            ServerError: that does not come.
        """
        end = time.monotonic() + _SETTLE_S
        lacks = "is_readonly OR is_session_expired OR queue_size > 0 OR absolute_delay > 0"
        sql = f"SELECT countIf({lacks}) FROM system.replicas"
        for one in self.servers.values():
            while one.is_alive and one.rows(sql)[0][0]:
                if time.monotonic() > end:
                    raise ServerError(f"{one.folder}: {one.rows('SELECT * FROM system.replicas')}")
                time.sleep(0.1)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A new database on every server, which is gone afterwards on those that are still there."""
        with _database(list(self.servers.values())) as place:
            yield place

    def _shard(self, shard: int) -> str:
        replicas = "".join(
            f"<replica><host>127.0.0.1</host><port>{one.ports[1]}</port></replica>"
            for one in self.servers.values()
            if one.shard == shard
        )
        return f"<shard><internal_replication>true</internal_replication>{replicas}</shard>"


class Database:
    """A database of a test's own; `server` is the one to ask (of a cluster, the first)."""

    def __init__(self, name: str, servers: list[ClickHouse]) -> None:
        self.name, self.servers = name, servers

    @property
    def server(self) -> ClickHouse:
        return self.servers[0]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def is_old(self) -> bool:
        return isinstance(self.server, Old)

    def ask(self, sql: str, body: bytes | str = b"", **settings: Any) -> str:
        return self.server.ask(sql, body, **{"database": self.name, **settings})

    def rows(self, sql: str, **settings: Any) -> list[tuple[Any, ...]]:
        return self.server.rows(sql, **{"database": self.name, **settings})


@contextlib.contextmanager
def _database(servers: list[ClickHouse]) -> Iterator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    for server in servers:
        server.ask(f"CREATE DATABASE {name}")
    try:
        yield Database(name, servers)
    finally:
        for server in servers:
            if server.is_alive:
                with contextlib.suppress(Refused, OSError, http.client.HTTPException):
                    server.ask(f"DROP DATABASE IF EXISTS {name}", timeout_s=10)
