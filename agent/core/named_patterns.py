r"""The patterns of lines that have a name: `format: {include: NAME}`, listed by `sidelog parse --list`.

Each is a layout that a program writes by default, with a line of it that the tests read. A configuration that names one
is told its text here and now: what was archived keeps the text, for a later version may know the layout better. Most
of them are read without a word by `format: auto`, too; here every part of the line has its name, and a line that is
none says so. Groups are named in OpenTelemetry's words where it has some.
"""

from __future__ import annotations

from typing import NamedTuple

# Pieces that several layouts share.
_ISO = r"(?P<timestamp>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
_SLASHES = r"(?P<timestamp>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?)"
_CTIME = r"(?P<timestamp>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})"
_CLF = r"(?P<timestamp>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})"
_REQUEST = r'"(?:(?P<http__request__method>[A-Z]{3,}) (?P<url__path>[^ "]*)(?: [^"]*)?)?[^"]*"'
_STATUS = r"(?P<http__response__status_code>\d{3})"
_MESSAGE = r"(?P<message>.*)$"
_LEVEL = r"(?P<severity>[A-Za-z]+)"
_LOGGER = r"(?P<logger>[\w.$/-]+)"
_THREAD = r"\[(?P<thread__name>[^\]]*)\]"
_PID = r"(?P<process__pid>\d+)"


class NamedPattern(NamedTuple):
    """A layout: who writes it, the expression, and a line of it."""

    about: str
    text: str
    sample: str


NAMED: dict[str, NamedPattern] = {
    "postgresql": NamedPattern(
        "PostgreSQL, log_line_prefix '%m [%p] ' and with user@database behind it",
        rf"^(?P<timestamp>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [\w+-]+) \[{_PID}\](?:-\d+)? "
        rf"(?:(?P<db__user>[^@ ]*)@(?P<db__namespace>[^ ]*) )?(?P<severity>[A-Z]+\d?):  ?{_MESSAGE}",
        '2026-11-22 05:39:26.123 UTC [4711] shop@orders ERROR:  relation "carts" does not exist at character 15',
    ),
    "mysql": NamedPattern(
        "MySQL 8 and 5.7, error log",
        rf"^{_ISO} (?P<thread__id>\d+) \[(?P<severity>\w+)\] (?:\[(?P<event__code>MY-\d+)\] )?"
        rf"(?:\[(?P<logger>\w+)\] )?{_MESSAGE}",
        "2026-11-22T05:39:26.123456Z 0 [Warning] [MY-010068] [Server] CA certificate ca.pem is self signed.",
    ),
    "mariadb": NamedPattern(
        "MariaDB, error log",
        rf"^(?P<timestamp>\d{{4}}-\d\d-\d\d +\d+:\d\d:\d\d) (?P<thread__id>\d+) \[(?P<severity>\w+)\] {_MESSAGE}",
        "2026-11-22 15:39:26 12 [Warning] Aborted connection 12 to db: 'shop' user: 'web' host: '10.0.0.7'",
    ),
    "redis": NamedPattern(
        "Redis and Valkey",
        rf"^{_PID}:(?P<redis__role>[A-Z]) (?P<timestamp>\d\d \w{{3}} \d{{4}} \d\d:\d\d:\d\d\.\d+) "
        rf"(?P<severity>[.*#-]) {_MESSAGE}",
        "4711:M 22 Nov 2026 05:39:26.123 # WARNING Memory overcommit must be enabled!",
    ),
    "mongodb": NamedPattern(
        "MongoDB up to 4.2 (later ones write JSON)",
        rf"^{_ISO} (?P<severity>[FEWID])\d? +(?P<logger>[A-Z_-]+) +\[(?P<thread__name>[^\]]+)\] {_MESSAGE}",
        "2026-11-22T05:39:26.123+0000 W NETWORK  [conn42] Error receiving request from client",
    ),
    "clickhouse": NamedPattern(
        "ClickHouse, server log",
        rf"^(?P<timestamp>\d{{4}}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d+) \[ (?P<thread__id>\d+) \] "
        rf"\{{(?P<db__query_id>[^}}]*)\}} <(?P<severity>\w+)> (?P<logger>[^:]+): {_MESSAGE}",
        "2026.11.22 05:39:26.123456 [ 4711 ] {9f1c} <Error> TCPHandler: Code: 60. Table shop.carts does not exist",
    ),
    "haproxy": NamedPattern(
        "HAProxy, `option httplog`, with syslog's head or without",
        r"^(?:<\d+>)?(?:\w{3} [ \d]\d \d\d:\d\d:\d\d (?:\S+ )?(?P<service>[\w./-]+)\[(?P<process__pid>\d+)\]: )?"
        r"(?P<client__address>[^: ]+):(?P<client__port>\d+) \[(?P<timestamp>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d+)\] "
        r"(?P<haproxy__frontend>\S+) (?P<haproxy__backend>[^/ ]+)/(?P<haproxy__server>\S+) "
        rf"(?P<haproxy__timers>[-+\d/]+) {_STATUS} (?P<http__response__body__size>\+?\d+) \S+ \S+ "
        r'(?P<haproxy__termination>\S{4}) \S+ \S+ (?:\{[^}]*\} )*"(?P<message>[^"]*)"',
        "Nov 22 05:39:26 lb1 haproxy[4711]: 10.0.0.7:51234 [22/Nov/2026:05:39:26.123] web~ shop/web2 "
        '0/0/1/12/13 503 212 - - SC-- 5/5/1/1/0 0/0 "GET /cart HTTP/1.1"',
    ),
    "haproxy-tcp": NamedPattern(
        "HAProxy, `option tcplog`, with syslog's head or without",
        r"^(?:<\d+>)?(?:\w{3} [ \d]\d \d\d:\d\d:\d\d (?:\S+ )?(?P<service>[\w./-]+)\[(?P<process__pid>\d+)\]: )?"
        r"(?P<message>(?P<client__address>[^: ]+):(?P<client__port>\d+) "
        r"\[(?P<timestamp>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d+)\] (?P<haproxy__frontend>\S+) "
        r"(?P<haproxy__backend>[^/ ]+)/(?P<haproxy__server>\S+) (?P<haproxy__timers>[-+\d/]+) "
        r"(?P<haproxy__bytes>\+?\d+) (?P<haproxy__termination>[-\w]{2}) \S+ \S+.*)",
        "10.0.0.7:51234 [22/Nov/2026:05:39:26.123] mail smtp/mx1 1/0/5007 212 -- 0/0/0/0/3 0/0",
    ),
    "nginx-error": NamedPattern(
        "nginx, error log",
        rf"^{_SLASHES} \[(?P<severity>\w+)\] {_PID}#(?P<thread__id>\d+): "
        rf"(?:\*(?P<nginx__connection>\d+) )?{_MESSAGE}",
        "2026/11/22 05:39:26 [error] 4711#4711: *42 connect() failed (111: Connection refused) while connecting "
        "to upstream, client: 10.0.0.7",
    ),
    "nginx-access": NamedPattern(
        "nginx and Apache, access log (combined), with request and upstream time behind it or without",
        rf"^(?P<client__address>\S+) \S+ (?P<user__name>\S+) \[{_CLF}\] (?P<message>{_REQUEST} {_STATUS} "
        r'(?P<http__response__body__size>\d+|-))(?: "(?P<http__request__header__referer>[^"]*)" '
        r'"(?P<user_agent__original>[^"]*)")?(?P<nginx__times>(?: [\d.-]+)*)',
        '10.0.0.7 - ann [22/Nov/2026:05:39:26 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8.5" 0.003',
    ),
    "apache-error": NamedPattern(
        "Apache 2.4 and 2.2, error log",
        rf"^\[{_CTIME}\] \[(?:(?P<logger>\w*):)?(?P<severity>\w+)\] "
        r"(?:\[pid (?P<process__pid>\d+)(?::tid (?P<thread__id>\d+))?\] )?"
        rf"(?:\[client (?P<client__address>[^\]]+)\] )?{_MESSAGE}",
        "[Sun Nov 22 05:39:26.123456 2026] [proxy:error] [pid 4711:tid 1399] [client 10.0.0.7:51234] "
        "AH00957: HTTP: attempt to connect to 127.0.0.1:8080 failed",
    ),
    "tomcat": NamedPattern(
        "Tomcat 8 and later, catalina.out and juli",
        rf"^(?P<timestamp>\d\d-\w{{3}}-\d{{4}} \d\d:\d\d:\d\d\.\d+) (?P<severity>[A-Z]+) {_THREAD} "
        rf"(?P<logger>\S+) {_MESSAGE}",
        "22-Nov-2026 05:39:26.123 SEVERE [main] org.apache.catalina.core.StandardService.initInternal "
        "Failed to initialize connector",
    ),
    "gunicorn": NamedPattern(
        "gunicorn, error log",
        rf"^\[(?P<timestamp>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}})\] \[{_PID}\] \[(?P<severity>\w+)\] "
        rf"{_MESSAGE}",
        "[2026-11-22 05:39:26 +0000] [4711] [CRITICAL] WORKER TIMEOUT (pid:4712)",
    ),
    "uwsgi": NamedPattern(
        "uWSGI, request log",
        rf"^\[pid: {_PID}\|[^\]]*\] (?P<client__address>\S+) \([^)]*\) \{{[^}}]*\}} \[{_CTIME}\] "
        r"(?P<message>(?P<http__request__method>[A-Z]+) (?P<url__path>\S+) => .*"
        rf"\(HTTP/[\d.]+ {_STATUS}\).*)",
        "[pid: 4711|app: 0|req: 7/9] 10.0.0.7 () {40 vars in 700 bytes} [Sun Nov 22 05:39:26 2026] GET /cart => "
        "generated 157 bytes in 12 msecs (HTTP/1.1 500) 2 headers in 80 bytes (1 switches on core 0)",
    ),
    "celery": NamedPattern(
        "Celery, worker and task log",
        rf"^\[{_ISO}: (?P<severity>[A-Z]+)/(?P<thread__name>[\w-]+)\] "
        rf"(?:(?P<celery__task>[\w.]+)\[(?P<celery__task_id>[\w-]+)\]: )?{_MESSAGE}",
        "[2026-11-22 05:39:26,123: ERROR/ForkPoolWorker-1] shop.pay[9f1c-77]: card declined",
    ),
    "airflow": NamedPattern(
        "Airflow 2, task and scheduler log",
        rf"^\[{_ISO}\] \{{(?P<logger>[^}}:]+):(?P<code__line__number>\d+)\}} (?P<severity>[A-Z]+) - {_MESSAGE}",
        "[2026-11-22T05:39:26.123+0000] {taskinstance.py:1824} ERROR - Task failed with exception",
    ),
    "python": NamedPattern(
        "Python's logging, `%(asctime)s - %(name)s - %(levelname)s - %(message)s`",
        rf"^{_ISO} - (?P<logger>[\w.]+) - (?P<severity>[A-Z]+) - {_MESSAGE}",
        "2026-11-22 05:39:26,123 - shop.pay - ERROR - card declined",
    ),
    "django": NamedPattern(
        "Django's `verbose` formatter: level, instant, module, process, thread",
        rf"^(?P<severity>[A-Z]+) {_ISO} (?P<logger>[\w.]+) {_PID} (?P<thread__id>\d+) {_MESSAGE}",
        "ERROR 2026-11-22 05:39:26,123 views 4711 139912 Internal Server Error: /cart",
    ),
    "log4j": NamedPattern(
        "log4j and Logback, `%d %-5level [%t] %logger{36}`, or with the thread first",
        rf"^{_ISO} +(?:{_THREAD} +)?(?P<severity>[A-Z]+) +(?:\[(?P<thread>[^\]]*)\] +)?{_LOGGER}(?: -|:) +{_MESSAGE}",
        "2026-11-22 05:39:26,123 ERROR [http-1] c.x.shop.Pay - card declined",
    ),
    "log4j-level-first": NamedPattern(
        "log4j, `%5p [%t] %d %c`: the level, padded, before the instant",
        rf"^ *(?P<severity>[A-Z]+) +{_THREAD} +{_ISO} +{_LOGGER}(?: -|:) +{_MESSAGE}",
        " WARN [http-1] 2026-11-22 05:39:26,123 c.x.shop.Pay - card declined",
    ),
    "spring-boot": NamedPattern(
        "Spring Boot 2 and 3, console",
        rf"^{_ISO} +(?P<severity>[A-Z]+) {_PID} --- (?:\[(?P<service>[^\]]*)\] )?\[ *(?P<thread__name>[^\] ][^\]]*)\] "
        rf"(?P<logger>\S+) *: {_MESSAGE}",
        "2026-11-22T05:39:26.123Z ERROR 4711 --- [shop] [nio-8080-exec-1] c.x.shop.Pay  : card declined",
    ),
    "wildfly": NamedPattern(
        "WildFly and JBoss, server.log",
        rf"^{_ISO} (?P<severity>[A-Z]+) +\[(?P<logger>[^\]]+)\] \((?P<thread__name>[^)]*)\) {_MESSAGE}",
        "2026-11-22 05:39:26,123 ERROR [org.jboss.as.controller] (Boot Thread) WFLYCTL0013: Operation failed",
    ),
    "kafka": NamedPattern(
        "Kafka and ZooKeeper as Kafka starts it",
        rf"^\[{_ISO}\] (?P<severity>[A-Z]+) (?P<message>.*) \((?P<logger>[\w.$]+)\)$",
        "[2026-11-22 05:39:26,123] ERROR [ReplicaManager broker=1] Error processing append "
        "(kafka.server.ReplicaManager)",
    ),
    "zookeeper": NamedPattern(
        "ZooKeeper, stand-alone",
        rf"^{_ISO} (?:\[myid:(?P<zookeeper__id>\d*)\] )?- (?P<severity>[A-Z]+) +\["
        rf"(?P<thread__name>.*):(?P<logger>[\w.$]+)"
        rf"@(?P<code__line__number>\d+)\] - {_MESSAGE}",
        "2026-11-22 05:39:26,123 [myid:1] - WARN  [QuorumPeer:/0.0.0.0:2181:Learner@89] - Unexpected exception",
    ),
    "cassandra": NamedPattern(
        "Cassandra, system.log",
        rf"^(?P<severity>[A-Z]+) +{_THREAD} {_ISO} (?P<code__file__path>[\w.]+):(?P<code__line__number>\d+) - "
        rf"{_MESSAGE}",
        "WARN  [ReadStage-2] 2026-11-22 05:39:26,123 ReadCommand.java:569 - Read 5000 live rows and 9000 tombstones",
    ),
    "elasticsearch": NamedPattern(
        "Elasticsearch and OpenSearch, text log",
        rf"^\[{_ISO}\]\[(?P<severity>[A-Z]+) *\]\[(?P<logger>[^\] ]+) *\] \[(?P<host__name>[^\]]*)\] *{_MESSAGE}",
        "[2026-11-22T05:39:26,123][WARN ][o.e.m.j.JvmGcMonitorService] [node-1] [gc][42] overhead, spent [700ms]",
    ),
    "hadoop": NamedPattern(
        "Hadoop, HBase and Hive",
        rf"^{_ISO} (?P<severity>[A-Z]+) +(?:\[(?P<thread__name>[^\]]*)\] +)?(?P<logger>[\w.$]+): {_MESSAGE}",
        "2026-11-22 05:39:26,123 ERROR org.apache.hadoop.hdfs.server.datanode.DataNode: DatanodeRegistration failed",
    ),
    "hdfs": NamedPattern(
        "HDFS, the older layout of datanodes and namenodes",
        rf"^(?P<timestamp>\d{{6}} \d{{6}}) (?P<thread__id>\d+) (?P<severity>[A-Z]+) (?P<logger>[\w.$]+): {_MESSAGE}",
        "261122 053926 143 WARN dfs.DataNode$DataXceiver: Got exception while serving blk_7",
    ),
    "spark": NamedPattern(
        "Spark, console",
        rf"^(?P<timestamp>\d\d/\d\d/\d\d \d\d:\d\d:\d\d) (?P<severity>[A-Z]+) (?P<logger>[\w.$]+): {_MESSAGE}",
        "26/11/22 05:39:26 ERROR executor.Executor: Exception in task 0.0 in stage 1.0 (TID 7)",
    ),
    "rabbitmq": NamedPattern(
        "RabbitMQ 3.9 and later",
        rf"^{_ISO} \[(?P<severity>\w+)\] <(?P<thread__id>[\d.]+)> {_MESSAGE}",
        "2026-11-22 05:39:26.123456+00:00 [error] <0.4711.0> closing AMQP connection: missed heartbeats",
    ),
    "consul": NamedPattern(
        "HashiCorp's Consul, Vault and Nomad",
        rf"^{_ISO} \[(?P<severity>[A-Z]+)\] +(?P<logger>[\w.-]+): {_MESSAGE}",
        "2026-11-22T05:39:26.123Z [ERROR] agent.http: Request error: method=GET url=/v1/kv/shop",
    ),
    "klog": NamedPattern(
        "Kubernetes' components and others with klog or glog",
        rf"^(?P<severity>[IWEF])(?P<timestamp>\d{{4}} \d\d:\d\d:\d\d\.\d+) +(?P<thread__id>\d+) "
        rf"(?P<code__file__path>[^:\s]+):(?P<code__line__number>\d+)\] {_MESSAGE}",
        "E1122 05:39:26.123456    4711 pod_workers.go:965] Error syncing pod, skipping",
    ),
    "supervisord": NamedPattern(
        "supervisord, its own log",
        rf"^{_ISO} (?P<severity>[A-Z]+) {_MESSAGE}",
        "2026-11-22 05:39:26,123 WARN exited: shop (exit status 1; not expected)",
    ),
    "php-fpm": NamedPattern(
        "PHP-FPM, its own log",
        rf"^\[(?P<timestamp>\d\d-\w{{3}}-\d{{4}} \d\d:\d\d:\d\d(?:\.\d+)?)\] (?P<severity>[A-Z]+): "
        rf"(?:pid {_PID}, [^:]*: )?(?:\[pool (?P<php__pool>[^\]]+)\] )?{_MESSAGE}",
        "[22-Nov-2026 05:39:26] WARNING: [pool www] server reached pm.max_children setting (5)",
    ),
    "php": NamedPattern(
        "PHP, error_log",
        r"^\[(?P<timestamp>\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d(?: [\w/+-]+)?)\] PHP "
        rf"(?:Parse |Recoverable fatal |Recoverable )?(?P<severity>[A-Za-z]+)(?: error)?: +{_MESSAGE}",
        "[22-Nov-2026 05:39:26 UTC] PHP Warning:  Undefined variable $cart in /srv/shop/pay.php on line 7",
    ),
    "laravel": NamedPattern(
        "Laravel and other users of Monolog's line formatter",
        rf"^\[{_ISO}\] (?P<logger>[\w-]+)\.(?P<severity>[A-Z]+): {_MESSAGE}",
        '[2026-11-22 05:39:26] production.ERROR: card declined {"order":17}',
    ),
    "rails": NamedPattern(
        "Ruby's Logger, as Rails in production",
        rf"^[A-Z], \[(?P<timestamp>[\dT:.-]+) #{_PID}\] +(?P<severity>[A-Z]+) -- (?P<logger>[^:]*): "
        rf"(?:\[(?P<http__request__id>[\w-]+)\] )?{_MESSAGE}",
        "E, [2026-11-22T05:39:26.123456 #4711] ERROR -- : [9f1c-77] ActiveRecord::RecordNotFound",
    ),
    "sidekiq": NamedPattern(
        "Sidekiq",
        rf"^{_ISO} pid={_PID} tid=(?P<thread__id>\w+) (?:class=(?P<sidekiq__class>\S+) )?"
        rf"(?:jid=(?P<sidekiq__jid>\w+) )?(?:elapsed=(?P<sidekiq__elapsed>[\d.]+) )?(?P<severity>[A-Z]+): {_MESSAGE}",
        "2026-11-22T05:39:26.123Z pid=4711 tid=gn7 class=PayJob jid=9f1c77 elapsed=0.03 WARN: fail",
    ),
    "squid": NamedPattern(
        "Squid, access.log",
        r"^(?P<timestamp>\d{10}\.\d{3}) +(?P<squid__elapsed_ms>\d+) (?P<client__address>\S+) "
        rf"(?P<message>(?P<squid__result>[A-Z_]+)/{_STATUS} (?P<http__response__body__size>\d+) "
        r"(?P<http__request__method>\S+) (?P<url__full>\S+).*)",
        "1795325966.123     42 10.0.0.7 TCP_MISS/503 4711 GET http://example.com/cart - HIER_DIRECT/10.0.0.9 text/html",
    ),
    "envoy": NamedPattern(
        "Envoy, default access log",
        r'^\[(?P<timestamp>[^\]]+)\] (?P<message>"(?P<http__request__method>\S+) (?P<url__path>\S+) (?:[^"]*)" '
        rf"{_STATUS} (?P<envoy__flags>\S+).*)",
        '[2026-11-22T05:39:26.123Z] "GET /cart HTTP/1.1" 503 UH 0 19 0 - "-" "curl/8.5" "9f1c-77" "shop" "-"',
    ),
    "asterisk": NamedPattern(
        "Asterisk",
        rf"^\[{_ISO}\] (?P<severity>[A-Z]+)\[(?P<thread__id>\d+)\](?:\[(?P<asterisk__call>[\w-]+)\])? "
        rf"(?P<logger>[\w.]+): {_MESSAGE}",
        "[2026-11-22 05:39:26] ERROR[4711] chan_sip.c: Peer 'ann' is now UNREACHABLE",
    ),
    "icinga2": NamedPattern(
        "Icinga 2",
        rf"^\[(?P<timestamp>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}})\] (?P<severity>\w+)/(?P<logger>\w+): "
        rf"{_MESSAGE}",
        "[2026-11-22 05:39:26 +0100] warning/ApiListener: No data received from endpoint 'web2' for 60 seconds",
    ),
    "unbound": NamedPattern(
        "Unbound",
        rf"^\[(?P<timestamp>\d{{10}})\] unbound\[{_PID}:(?P<thread__id>\d+)\] (?P<severity>\w+): {_MESSAGE}",
        "[1795325966] unbound[4711:0] error: can't bind socket: Address already in use",
    ),
    "minecraft": NamedPattern(
        "Minecraft, the older server.log with a date",
        rf"^\[?(?P<timestamp>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d)\]? \[(?:(?P<thread__name>[^\]/]+)/)?"
        rf"(?P<severity>[A-Z]+)\]:?"
        rf" {_MESSAGE}",
        "2026-11-22 05:39:26 [WARNING] Can't keep up! Did the system time change, or is the server overloaded?",
    ),
}
