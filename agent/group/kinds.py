"""Kinds of trouble: by which names of exceptions and words of messages they are known, and what to do about them.

`types` are names of exceptions without package, in one spelling each: neither case counts, nor `Error`, `Exception`,
`Failure` or `Warning` at the end; of Python, Java and Kotlin, Node, Go, Ruby, .NET, PHP and Rust and of libraries that
are common there. `words` are sequences of words that a message holds, or a type's name when it is read as words
(`UserNotFoundException` as `user not found`), none of which holds another one of its kind; codes such as ENOENT are
words. Where several kinds fit, the first in this table is meant: it goes from the particular to the general.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of trouble. `types` and `words` are separated by white space and by commas."""

    suggestion: str
    types: str
    words: str
    category: str = ""


_KINDS = {
    "resource": (
        Kind(
            "The disk or its quota is full: free some space, or move what grows.",
            "DiskFull",
            "no space left, enospc, disk full, disk is full, disk quota, edquot, quota exceeded, not enough space,"
            " insufficient disk space, insufficient storage",
        ),
        Kind(
            "The process ran out of memory: look for what grows, or raise its limit.",
            "MemoryError OutOfMemoryError NoMemoryError InsufficientMemoryException"
            " InsufficientExecutionStackException bad_alloc ArrayMemoryError",
            "out of memory, cannot allocate memory, can t allocate memory, heap space, enomem, gc overhead limit,"
            " memory limit, oom killed, oomkilled, memory exhausted, allowed memory size",
        ),
        Kind(
            "A recursion does not end, or is too deep for the stack: look at the frames that repeat.",
            "RecursionError StackOverflowError SystemStackError",
            "maximum recursion depth, maximum call stack, stack overflow, stack level too deep, goroutine stack"
            " exceeds",
        ),
        Kind(
            "The process has too many files or connections open: look for what is not closed, or raise the limit"
            " (`ulimit -n`, LimitNOFILE=).",
            "",
            "too many open files, emfile, enfile, file descriptor limit, too many files open",
        ),
        Kind(
            "A pool or queue is used up: look for what holds its entries too long, or make it larger.",
            "PoolTimeout PoolExhausted RejectedExecutionException ResourceExhausted QueueFull Full"
            " TooManyConnectionsError SQLTransientConnectionException",
            "pool exhausted, pool is full, pool timeout, pool size, pool limit, queue is full, queue full, too many"
            " connections, too many clients, resource exhausted, resource temporarily unavailable, eagain, connection"
            " is not available, thread pool is exhausted, remaining connection slots, cannot create thread, can t"
            " start new thread, unable to create new native thread, worker processes exhausted",
        ),
        Kind(
            "A limit on the rate of requests was reached: ask less often, wait as long as the answer says, or have the"
            " limit raised.",
            "RateLimitError RateLimited RateLimitExceeded TooManyRequests ThrottlingException"
            " ProvisionedThroughputExceededException",
            "rate limit, too many requests, throttled, throttling, limit exceeded, slow down",
        ),
    ),
    "permission": (
        Kind(
            "The credentials were not accepted: have they expired, been changed, or been left out?",
            "AuthenticationError AuthenticationFailed AuthError InvalidCredentials BadCredentialsException"
            " InvalidPassword Unauthorized NotAuthenticated TokenExpiredError ExpiredSignatureError JsonWebTokenError"
            " InvalidTokenError ExpiredJwtException SignatureException LoginException NoCredentialsError"
            " CredentialsException SecurityTokenException InvalidClientError",
            "unauthorized, unauthorised, authentication failed, authentication failure, authentication error,"
            " authentication required, not authenticated, invalid credentials, bad credentials, wrong password,"
            " invalid password, incorrect password, failed password, invalid token, token expired, token has expired,"
            " jwt expired, expired token, login failed, invalid api key, password authentication, access denied for"
            " user, invalid signature, signature mismatch, kerberos",
        ),
        Kind(
            "The process, or the user it works for, may not do this: look at the owner and mode of the file, or at the"
            " rights of the account.",
            "PermissionError PermissionDenied AccessDeniedException AccessControlException UnauthorizedAccessException"
            " ForbiddenError SecurityException NotAuthorized NotPermitted AuthorizationError InsufficientPrivilege"
            " InsufficientPrivileges EACCES EPERM SuspiciousOperation",
            "permission denied, eacces, eperm, access denied, access is denied, forbidden, not authorized, not"
            " authorised, not allowed to, not permitted, insufficient privilege, insufficient privileges, insufficient"
            " permissions, insufficient permission, missing permission, requires permission, must be owner",
        ),
    ),
    "network": (
        Kind(
            "The name of the host could not be resolved: is it spelt right, and does DNS answer on this machine?",
            "gaierror UnknownHostException NameResolutionError ENOTFOUND EAI_AGAIN NoSuchHost DNSException",
            "enotfound, eai again, unknown host, no such host, name or service not known, getaddrinfo, could not"
            " resolve, name resolution, nodename nor servname, dns, nxdomain, servfail, host not found, name not"
            " resolved",
        ),
        Kind(
            "Nothing listens at that address: is the service running, and are host and port right?",
            "ConnectionRefusedError ConnectException ECONNREFUSED NoHttpResponseException",
            "connection refused, econnrefused, actively refused, failed to connect, could not connect, cannot connect,"
            " can t connect, unable to connect, connect failed, connection failed, failed to establish a new"
            " connection",
        ),
        Kind(
            "There is no way to that host: look at routes, firewall and VPN.",
            "NoRouteToHostException EHOSTUNREACH ENETUNREACH PortUnreachableException HostUnreachable",
            "no route to host, ehostunreach, enetunreach, host is down, unreachable",
        ),
        Kind(
            "TLS failed: look at the certificate's names and dates, at the CA certificates of this machine, and at its"
            " clock.",
            "SSLError SSLHandshakeException SSLCertVerificationError CertificateException CertPathValidatorException"
            " CertificateExpiredException OpenSSLError CERT_HAS_EXPIRED DEPTH_ZERO_SELF_SIGNED_CERT"
            " UNABLE_TO_VERIFY_LEAF_SIGNATURE UnknownAuthorityError",
            "certificate, ssl, tls, x509, self signed, handshake failure, handshake failed",
        ),
        Kind(
            "The other side did not answer in time: is it overloaded, is the time limit too short, does a firewall"
            " drop packets?",
            "TimeoutError SocketTimeoutException ConnectTimeout ReadTimeout WriteTimeout HttpTimeoutException"
            " ETIMEDOUT ESOCKETTIMEDOUT DeadlineExceeded TaskCanceledException RequestTimeout GatewayTimeout"
            " OpenTimeout AsyncRequestTimeoutException ServerSelectionTimeoutError",
            "timed out, timeout, time out, etimedout, esockettimedout, deadline exceeded, took too long, context"
            " deadline",
        ),
        Kind(
            "The connection broke off: did the other side, or a proxy between, restart, or close it as idle?",
            "ConnectionResetError ConnectionAbortedError BrokenPipeError ConnectionError ConnectionClosedError"
            " ECONNRESET ECONNABORTED EPIPE SocketException RemoteDisconnected IncompleteRead ProtocolError"
            " RemoteProtocolError EOFException ClientOSError ServerDisconnectedError ClosedChannelException"
            " StreamResetException ChannelClosed RequestError HttpRequestException WebSocketException"
            " WebSocketConnectionClosedException ClientException HTTPError HttpResponseException ClientConnectorError"
            " NetworkError FetchError URLError MaxRetryError NewConnectionError AxiosError WebException RpcException"
            " InvalidChunkLength TransportError",
            "econnreset, econnaborted, broken pipe, epipe, socket, unexpected eof, remote end closed, closed by"
            " remote, closed by peer, reset by peer, server disconnected, connection, network, protocol error, bad"
            " gateway, stream error, transport error, fetch failed",
        ),
    ),
    "configuration": (
        Kind(
            "A setting is missing or wrong: compare the configuration and the environment with those of the last good"
            " start.",
            "ImproperlyConfigured ConfigurationError ConfigError InvalidConfiguration ConfigurationErrorsException"
            " MissingConfiguration BeanCreationException UnsatisfiedDependencyException NoSuchBeanDefinitionException"
            " ApplicationContextException OptionsValidationException NoSectionError NoOptionError"
            " MissingSectionHeaderError MissingEnvironmentVariable EnvironmentVariableError"
            " MissingRequiredPropertiesException BindException SettingsError",
            "configuration, misconfigured, misconfiguration, not configured, config error, config missing, invalid"
            " config, config invalid, missing config, config file, missing setting, invalid setting, unknown setting,"
            " missing env, environment variable, env var, environment variables, bean creation, no such setting,"
            " unknown option, unrecognized option, missing required property, improperly configured, address already"
            " in use, eaddrinuse, feature flag",
        ),
    ),
    "dependency": (
        Kind(
            "Something that the program is built on is missing or of another version: look at what was installed or"
            " deployed last.",
            "ImportError ModuleNotFoundError ClassNotFoundException NoClassDefFoundError NoSuchMethodError"
            " NoSuchFieldError UnsatisfiedLinkError UnsupportedClassVersionError IncompatibleClassChangeError"
            " AbstractMethodError LinkageError MODULE_NOT_FOUND ERR_MODULE_NOT_FOUND ERR_REQUIRE_ESM LoadError"
            " DllNotFoundException FileLoadException BadImageFormatException TypeLoadException MissingMethodException"
            " EntryPointNotFoundException DistributionNotFound VersionConflict PackageNotFoundError GemNotFound"
            " ExceptionInInitializerError ServiceConfigurationError ReflectionTypeLoadException VerifyError",
            "cannot find module, no module named, module not found, cannot import name, class not found, no class def"
            " found, cannot load such file, cannot open shared object, shared libraries, undefined symbol, dll not"
            " found, could not load file or assembly, could not find or load main class, package not found, command"
            " not found, executable file not found, unresolved import, symbol not found, version conflict,"
            " incompatible version, could not find gem",
        ),
        Kind(
            "Two things waited for each other in the database, or changed the same row: try the transaction again, and"
            " take locks in one order.",
            "DeadlockDetected DeadlockLoserDataAccessException SerializationFailure LockTimeout LockWaitTimeout"
            " LockNotAvailable CannotAcquireLockException OptimisticLockException OptimisticLockingFailureException"
            " StaleObjectStateException StaleObjectError DbUpdateConcurrencyException TransactionRollbackError"
            " WriteConflict ConcurrentModification",
            "deadlock, could not serialize, database is locked, database table is locked, could not obtain lock, write"
            " conflict, optimistic lock",
        ),
        Kind(
            "A database refused or failed: look at its own log, and at the statement.",
            "OperationalError InterfaceError DatabaseError InternalError ProgrammingError UndefinedTable"
            " UndefinedColumn SQLException SQLSyntaxErrorException SQLRecoverableException SQLTransientException"
            " BadSqlGrammarException DataAccessException DataAccessResourceFailureException"
            " CannotGetJdbcConnectionException JDBCException JDBCConnectionException PersistenceException"
            " HibernateException DbException DbUpdateException NpgsqlException PostgresException MySqlException"
            " OracleException SqliteError SQLITE_ERROR StatementInvalid ActiveRecordError SequelizeDatabaseError"
            " SequelizeConnectionError QueryFailedError PrismaClientKnownRequestError PrismaClientInitializationError"
            " MongoError MongoServerError MongoNetworkError PyMongoError AutoReconnect RedisError"
            " RedisConnectionException RedisCommandExecutionException ReplyError ResponseError CassandraException"
            " NoHostAvailable ElasticsearchException InfluxDBError DBALException PDOException",
            "sqlstate, sql, database, redis, mongo, mongodb, postgres, postgresql, mysql, mariadb, sqlite, oracle,"
            " ora, cassandra, elasticsearch, opensearch, memcached, relation does not exist, no such table, no such"
            " column, table doesn t exist",
        ),
        Kind(
            "A service that this one needs failed: look at its state and its logs around that time.",
            "ServiceUnavailable UnavailableError BadGateway InternalServerError CircuitBreakerOpenException"
            " CircuitBreakerError CallNotPermittedException BrokenCircuitException KafkaException KafkaTimeoutError"
            " NoBrokersAvailable AmqpException AMQPConnectionError RabbitMQError NotLeaderForPartitionException"
            " JMSException BotoCoreError AmazonServiceException AmazonClientException SdkClientException S3Exception"
            " EndpointConnectionError GoogleAPICallError GoogleAPIError StripeError SMTPException"
            " SMTPServerDisconnected SendFailedException MailSendException FeignException RemoteException"
            " RemoteAccessException StatusRuntimeException GrpcError WebClientResponseException"
            " HttpServerErrorException LdapException CeleryError KombuError",
            "upstream, service unavailable, temporarily unavailable, kafka, rabbitmq, amqp, zookeeper, etcd, consul,"
            " circuit breaker, internal server error, broker not available, smtp, ldap, status code 500, status code"
            " 502, status code 503, status code 504, backend, dependency failed",
        ),
    ),
    "filesystem": (
        Kind(
            "A file or directory is not there: is the path right, was it mounted, did something delete or move it?",
            "FileNotFoundError NoSuchFileException DirectoryNotFoundException DriveNotFoundException ENOENT",
            "no such file, enoent, file not found, directory not found, path not found, file does not exist, directory"
            " does not exist, cannot find the file, cannot find the path, cannot stat, could not find file, missing"
            " file, failed to open stream, cannot open file, unable to open file",
        ),
        Kind(
            "The file system would not do this: look at what kind of file it is, how it is mounted, and at the"
            " kernel's log.",
            "IsADirectoryError NotADirectoryError FileExistsError FileAlreadyExistsException"
            " DirectoryNotEmptyException NotDirectoryException FileSystemException FileSystemLoopException"
            " AtomicMoveNotSupportedException ReadOnlyFileSystemException PathTooLongException EEXIST EISDIR ENOTDIR"
            " ENOTEMPTY EROFS EXDEV EBUSY ELOOP EIO ESTALE ENAMETOOLONG BlockingIOError SameFileError",
            "is a directory, not a directory, file exists, directory not empty, eexist, eisdir, enotdir, enotempty,"
            " erofs, exdev, ebusy, eio, estale, stale file handle, input output error, i o error, cross device link,"
            " file name too long, device or resource busy, too many levels of symbolic links, being used by another"
            " process, filesystem, file system, bad file descriptor, ebadf, corrupted file",
        ),
    ),
    "user input": (
        Kind(
            "Somebody sent what cannot be accepted: answer with what is wrong about it; if it comes often, look at the"
            " form or the client.",
            "BadRequest BadRequestKeyError BadHttpRequestException UnprocessableEntity HttpMessageNotReadableException"
            " MissingServletRequestParameterException MethodArgumentNotValidException"
            " MethodArgumentTypeMismatchException HttpRequestMethodNotSupportedException"
            " HttpMediaTypeNotSupportedException ParameterMissing InvalidAuthenticityToken RequestEntityTooLarge"
            " PayloadTooLargeError MultiPartParserError DisallowedHost NotAcceptable UnsupportedMediaType"
            " RequestValidationError NoReverseMatch RoutingError NotFoundHttpException MethodNotAllowed"
            " MethodNotAllowedHttpException Http404 BadHeaderError RequestDataTooBig TooManyFieldsSent",
            "bad request, invalid input, invalid request, invalid parameter, invalid argument, invalid query,"
            " unprocessable, malformed, missing parameter, required parameter, required field, invalid email, invalid"
            " user, invalid form, csrf, payload too large, request entity too large, unsupported media type, method"
            " not allowed, invalid header, invalid characters, user not found, invalid date, invalid url",
        ),
    ),
    "validation": (
        Kind(
            "Data that should have been checked broke a rule of the database: check it before it is stored.",
            "IntegrityError UniqueViolation ForeignKeyViolation NotNullViolation CheckViolation DataError"
            " DuplicateKeyException DataIntegrityViolationException ConstraintViolationException"
            " SQLIntegrityConstraintViolationException RecordInvalid RecordNotUnique RecordNotSaved"
            " SequelizeUniqueConstraintError SequelizeValidationError InvalidForeignKey EntityExistsException"
            " DbEntityValidationException",
            "duplicate key, duplicate entry, unique constraint, unique violation, foreign key constraint, not null"
            " constraint, violates, constraint failed, constraint violation, value too long, out of range for type",
        ),
        Kind(
            "What was read is not what its format asks for: look at the first place that is named, and at who wrote"
            " it.",
            "JSONDecodeError JsonParseException JsonMappingException JsonProcessingException JsonSyntaxException"
            " JsonException JsonReaderException JsonSerializationException MismatchedInputException"
            " UnrecognizedPropertyException ParserError ParseError ParsingError SAXParseException XMLSyntaxError"
            " XmlException YAMLError ScannerError TOMLDecodeError UnicodeDecodeError UnicodeEncodeError UnicodeError"
            " MalformedInputException DecodeError DecoderException InvalidByteSequenceError UndefinedConversionError"
            " EncodingError FormatException NumberFormatException DateTimeParseException DateTimeException"
            " DeserializationError InvalidFormatException SyntaxError UnmarshalTypeError"
            " InvalidProtocolBufferException PickleError UnpicklingError BadZipFile ZipException DataFormatException"
            " MalformedURLException URISyntaxException UriFormatException InvalidURL InvalidURIError",
            "unexpected token, unexpected end of json, unexpected end of input, unexpected character, invalid json,"
            " not valid json, cannot unmarshal, cannot deserialize, failed to parse, could not parse, cannot parse,"
            " unable to parse, parse error, parsing error, invalid syntax, syntax error, decode error, decoding error,"
            " codec can t, invalid utf, could not convert string, invalid literal, invalid format, invalid number,"
            " checksum mismatch, corrupt, corrupted, failed to decode, could not decode, not well formed, invalid xml",
        ),
        Kind(
            "Something that should be there is empty (null, None, nil, undefined): look at the innermost frame for"
            " where it comes from.",
            "NullPointerException NullReferenceException ArgumentNullException NoMethodError"
            " UninitializedPropertyAccessException KotlinNullPointerException UnboundLocalError NoSuchElementException"
            " NullInjectorError DoesNotExist ObjectDoesNotExist RecordNotFound EntityNotFoundException"
            " ModelNotFoundException NoResultFound NoResultException EmptyResultDataAccessException StopIteration",
            "nil pointer, null pointer, nonetype, of undefined, of null, undefined is not, null is not, is undefined,"
            " is null, is not a function, undefined method, undefined local variable, object reference not set, nil"
            " value, on a none value, must not be null, cannot be null, may not be null, on null, cannot read"
            " properties, cannot read property, cannot set properties, assignment to entry in nil map",
        ),
        Kind(
            "A value is not what the code expects: look at the innermost frame for the value, and check it where it"
            " comes in.",
            "ValueError TypeError KeyError IndexError AttributeError NameError LookupError AssertionError"
            " ArithmeticError ZeroDivisionError DivideByZeroException OverflowError FloatingPointError"
            " FloatDomainError InvalidOperation ValidationError ValidationFailed ValidatorError ZodError ArgumentError"
            " ArgumentOutOfRangeException ArgumentTypeError IllegalArgumentException IllegalStateException"
            " IllegalMonitorStateException InvalidCastException InvalidArgumentException ClassCastException RangeError"
            " ReferenceError FrozenError IndexOutOfRangeException IndexOutOfBoundsException"
            " ArrayIndexOutOfBoundsException StringIndexOutOfBoundsException NegativeArraySizeException"
            " ArrayStoreException KeyNotFoundException MissingKeyException NotImplementedError"
            " UnsupportedOperationException NotSupportedException InputMismatchException InvalidParameterException"
            " DomainException LengthException OutOfBoundsException OutOfRangeException UnexpectedValueException"
            " LogicException InvariantViolation MatchError ObjectDisposedException ERR_ASSERTION ERR_INVALID_ARG_TYPE"
            " ERR_OUT_OF_RANGE UncaughtThrowError LocalJumpError NoMatchingPatternError SchemaError PreconditionFailed",
            "validation failed, validation error, validation errors, is not valid, must be, should be, out of range,"
            " out of bounds, divide by zero, division by zero, slice bounds, assertion failed, type mismatch,"
            " expected, invalid value, not supported, not implemented, invalid type, illegal argument, illegal state,"
            " invalid memory address, interface conversion, invariant, precondition",
        ),
    ),
}

KINDS = tuple(kind._replace(category=category) for category, kinds in _KINDS.items() for kind in kinds)

# By itself such a type says little: its message is asked first, and only then is it this.
VAGUE = {
    "OpError": "network",
    **dict.fromkeys((
        "OSError", "IOError", "IOException", "EnvironmentError", "UncheckedIOException", "PathError",
        "SystemCallError",
    ), "filesystem"),
    **dict.fromkeys((
        "Error", "Exception", "BaseException", "Throwable", "StandardError", "RuntimeError", "RuntimeException",
        "SystemException", "ApplicationException", "ServletException", "NestedServletException", "ExecutionException",
        "CompletionException", "UndeclaredThrowableException", "InvocationTargetException",
        "TargetInvocationException", "AggregateException", "AggregateError", "ExceptionGroup", "BaseExceptionGroup",
        "UnhandledPromiseRejection", "UnhandledPromiseRejectionWarning", "CalledProcessError", "ErrnoException",
        "errorString", "fundamental", "wrapError", "panic",
    ), "unknown"),
}  # fmt: skip

# What is said where no kind fits, and of a category alone.
SUGGESTIONS = {
    "network": (
        "The connection to another host failed: can it be reached from this machine, and does its service answer?"
    ),
    "filesystem": "Reading or writing a file failed: look at the path, its mode, and the file system's state.",
    "configuration": "A setting is missing or wrong: compare with the configuration of the last good start.",
    "validation": "A value is not what the code expects: look at the innermost frame for where it comes from.",
    "dependency": "Something that this program needs failed: look at its state and its logs around that time.",
    "resource": "Memory, disk or another limit is used up: look for what grows, or raise the limit.",
    "permission": "The program, or the user it works for, may not do this: look at credentials and rights.",
    "user input": "Somebody sent what cannot be accepted: if it comes often, look at the form or the client.",
    "unknown": "Look at the innermost frame, at the events of the same trace before it, and at what was deployed last.",
}
