"""Frames of PHP, Rust, Elixir and Erlang, Dart, Swift, Lua and Perl, as their runtimes write them.

A function gets the text of a trace and gives its links, none where it has no such frame. It looks for what all traces
of its language have before it uses a pattern; every pattern stays within a line and takes time linear in it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from agent.core.patterns import lazy

# A link of the chain of causes: its exception's type (empty for the reported one, whose type is known otherwise) and
# its frames as (name, whether it is the application's), the innermost first.
Link = tuple[str, list[tuple[str, bool]]]

_CONTENT_HASH = lazy(r"[.-](?=[a-f]{0,64}\d)[0-9a-f]{1,64}(?=\.)", re.IGNORECASE)  # `main.8f3a2b1c.js`


@lru_cache(1_024)  # the same few files fail over and over
def module_of(path: str) -> str:
    """Directory and name of a source file, without what changes with a release: versions, dates, content hashes."""
    directory, _, name = "/".join(path.replace("\\", "/").split("/")[-2:]).rpartition("/")
    return f"{re.sub('[0-9]+', '', directory)}/{_CONTENT_HASH.sub('', name)}"


def _one(frames: list[tuple[str, bool]]) -> list[Link]:
    return [("", frames)] if frames else []


# ---------------------------------------------------------------- PHP

_PHP_FRAME = lazy(
    r"#\d+ (?:(\{main\})|(?:\[internal function\]|([^\n]{1,500}?)\(\d+\))(?:: (\{closure[^}\n]*\}|[^\s(]{1,300})|$))"
)
_PHP_TYPE = lazy(r"[A-Za-z_\\][\w\\]{0,300}")
_PHP_PLACE = lazy(r"\S.*\.php:\d+")
_PHP_LIBRARY = lazy(r"[\\/]vendor[\\/]")
_PHP_NAMESPACES = (
    "Illuminate\\", "Symfony\\", "Doctrine\\", "Laravel\\", "GuzzleHttp\\", "Monolog\\", "Psr\\", "League\\", "Twig\\",
    "Composer\\", "PHPUnit\\", "PDO", "mysqli", "Redis",
)  # fmt: skip


def php(text: str) -> list[Link]:
    """`#0 /srv/web.php(17): Cart->add()`. The file is the caller's: each function lies in the file before.

    https://www.php.net/manual/en/exception.gettraceasstring.php. An uncaught exception comes after its causes, each
    `Next`; in Laravel's log before them, each `[previous exception]`.
    """
    if "#0 " not in text and "#1 " not in text:
        return []
    links: list[Link] = []
    place, causes_first = "", False
    for line in text.replace("\\\\", "\\").split("\n"):  # Laravel's are in a JSON string, all but their line ends
        frame = _PHP_FRAME.match(line) if line.startswith("#") else None
        if frame is not None:
            if not links:
                links.append(("", []))
            main, caller, function = frame.groups()
            if not main and function is None:  # Monolog's, of a file alone
                place = caller or place
            ours = _PHP_LIBRARY.search(place) is None if place else not (function or "").startswith(_PHP_NAMESPACES)
            name = re.sub(r"\{closure[^}]*\}", "{closure}", function or f"{module_of(place)}:{'main' if main else ''}")
            if not (main and links[-1][1]):  # all of the script's frames end there
                links[-1][1].append((name, ours))
            place = caller or "vendor/"  # what PHP itself calls is no file of the application
            place = f"/{place}" if place == "vendor/" else place
        elif (thrown := _php_thrown(line)) is not None:
            kind, place = thrown
            causes_first = causes_first or line.startswith("Next ")
            links.append((kind, []))
    if not any(frames for _, frames in links):
        return []
    links = links[::-1] if causes_first else links
    return [("", links[0][1]), *links[1:]]


def _php_thrown(line: str) -> tuple[str, str] | None:
    """Type and file of `Uncaught TYPE: … in FILE:LINE`, `Next …` and `[object] (TYPE(code: 0): … at FILE:LINE)`."""
    for before, between in (("Uncaught ", " in "), ("[object] (", " at "), ("Next ", " in ")):
        at = line.find(before) if before != "Next " or line.startswith(before) else -1
        kind = _PHP_TYPE.match(line, at + len(before)) if at >= 0 else None
        if kind is not None:
            place = line[kind.end() :].rpartition(between)[2].rpartition(":")[0]
            return kind[0], place
    place = line.rpartition(" in ")[2]
    kind = _PHP_TYPE.match(line) if _PHP_PLACE.fullmatch(place) else None
    return None if kind is None else (kind[0], place.rpartition(":")[0])


# ---------------------------------------------------------------- Rust

_RUST_FRAME = lazy(
    r"^[ \t]*\d+:[ \t]+(?:0x[0-9a-f]+ - )?(\S[^\n]{0,1000})(?:\n[ \t]+at ([^\n]{1,1000}))?", re.MULTILINE
)
_RUST_LIBRARY = lazy(r"[\\/]rustc[\\/]|[\\/]\.cargo[\\/]|[\\/]rustlib[\\/]|[\\/]library[\\/]std[\\/]")
_RUST_NAMES = lazy(
    r"<?(?:&?mut |&|dyn |\()*(?:std|core|alloc|backtrace|tokio|futures\w*|hyper|axum|actix\w*|tower\w*|anyhow|eyre"
    r"|rayon|tracing\w*)::|_*rust_|__rust|rust_begin_unwind|main$|_main$|_start|__libc|start_thread|clone3?$|<unknown>|_\w+$"
)
_RUST_GENERATED = lazy(r"::h[0-9a-f]{16}$|::\{\{closure\}\}|::\{closure[^}]{0,50}\}|\{\{impl\}\}(?:\[\d+\])?::")


def rust(text: str) -> list[Link]:
    """`   2: shop::cart::add` and `             at ./src/cart.rs:12:9` below it; of RUST_BACKTRACE=full with addresses.

    https://doc.rust-lang.org/std/backtrace/
    """
    if "ack backtrace:" not in text and ".rs:" not in text:
        return []
    frames = []
    for name, path in _RUST_FRAME.findall(text, text.find("ack backtrace:") + 1):  # above may be numbered causes
        ours = _RUST_NAMES.match(name) is None and (not path or _RUST_LIBRARY.search(path) is None)
        frames.append((_RUST_GENERATED.sub("", name), ours))
    return _one(frames)


# ---------------------------------------------------------------- Elixir and Erlang

_ELIXIR_FRAME = lazy(
    r"^[ \t]+(?:\((\w{1,100})(?: [^)\s]{1,100})?\) )?(?:([^\s:]{1,300}\.(?:exs?|erl|h?eex|leex)):\d+: )?"
    r"((?:anonymous fn/\d+ in )?:?[A-Za-z_][\w.!?@]{0,300}\.(?:\"[^\"\n]{1,200}\"|[^\s/(]{1,200})(?:/\d+|\([^\n]*\)))$",
    re.MULTILINE,
)
_ELIXIR_GENERATED = lazy(r"^anonymous fn/\d+ in |/\d+|\(.*$")
_BEAM_LAMBDA = lazy(r"[\"']-([^/\n]{1,200})/\d+-.*$")  # '-init/1-fun-0-'
_BEAM = (
    "elixir stdlib kernel erts logger mix ex_unit iex eex ssl inets crypto phoenix phoenix_html phoenix_live_view"
    " phoenix_pubsub plug plug_cowboy cowboy cowlib ranch bandit thousand_island ecto ecto_sql db_connection postgrex"
    " myxql absinthe jason poison broadway oban gen_stage telemetry tesla finch mint httpoison hackney sentry"
)
_BEAM_LIBRARIES = frozenset(_BEAM.split())
_ERLANG_FRAME = lazy(
    r"^[ \t]*in (?:function|call from) +([a-z][\w@]{0,100}:[^\s/]{1,200})/\d+"
    r"|\{([a-z][\w@]{0,100}),('[^'\n]{1,200}'|[a-z][\w@]{0,200}),(?:\d+|\[[^\]\n]{0,500}\]),\s*\[(?=\{file,|\])",
    re.MULTILINE,
)
_OTP = (
    "erlang lists maps io gen gen_server gen_statem gen_event gen_fsm supervisor proc_lib erl_eval shell rpc ets binary"
    " string file code error_handler timer application_master init sys"
)
_OTP_MODULES = frozenset(_OTP.split())


def elixir(text: str) -> list[Link]:
    """`    (shop 0.1.0) lib/shop/cart.ex:12: Shop.Cart.add/2`, see https://hexdocs.pm/elixir/Exception.html."""
    if ".ex" not in text and ".erl" not in text and ") " not in text:
        return []
    frames = []
    for application, path, function in _ELIXIR_FRAME.findall(text):
        if application or path:
            ours = application not in _BEAM_LIBRARIES and not path.startswith("deps/")
            frames.append(
                (_ELIXIR_GENERATED.sub("", _BEAM_LAMBDA.sub(r"\1", function)), ours and not function.startswith(":"))
            )
    return _one(frames)


def erlang(text: str) -> list[Link]:
    """`in function  shop:add/2 (src/shop.erl, line 12)`, `{shop,add,2,[{file,"src/shop.erl"},{line,12}]}`.

    https://www.erlang.org/doc/system/errors.html
    """
    if ".erl" not in text:
        return []
    frames = []
    for written, module, function in _ERLANG_FRAME.findall(text):
        name = written or f"{module}:{function}"
        frames.append((_BEAM_LAMBDA.sub(r"\1", name), name.partition(":")[0] not in _OTP_MODULES))
    return _one(frames)


# ---------------------------------------------------------------- Dart, Swift, Lua, Perl

_DART_FRAME = lazy(r"^#\d+ +(\S[^\n(]{0,300}?) \(((?:package|dart|file):[^()\n]{1,500}?)(?::\d+){0,2}\)$", re.MULTILINE)
_DART_GENERATED = lazy(r"(?:\.|^)<(?:anonymous closure|fn)>|^new |^_+(?=[A-Z])|\.<async>")
_DART_LIBRARIES = ("dart:", "package:flutter/", "package:test", "package:shelf", "package:http/", "package:bloc/",
                   "package:provider/", "package:riverpod", "package:dio/", "package:async/")  # fmt: skip
_SWIFT_FRAME = lazy(
    r"^[ \t]*\d+ +(?:(?:\[[^\]\n]{1,20}\] )*(?:0x[0-9a-f]{1,16} )?(?:in )?"
    r"(\S[^\n]{0,300}?) \+ \d+ in (\S+)(?: at [^\n]+)?"
    r"|(\S{1,100}) +0x[0-9a-f]{1,16} ([^\n]{1,500}?) \+ \d+)$",
    re.MULTILINE,
)
_SWIFT_GENERATED = lazy(
    r"^(?:(?:implicit )?closure #\d+ (?:@\w+ )?in )+|^(?:specialized|partial apply for|merged) |#\d+"
)
_SWIFT_LIBRARIES = lazy(
    r"lib\w|CoreFoundation|Foundation|UIKit|SwiftUI|AppKit|CFNetwork|GraphicsServices|dyld|\?\?\?|Network$|Dispatch$"
)
_LUA_FRAME = lazy(
    r"^[ \t]+(?:\[(C|string [^\]\n]{1,200})\]|([^\s:]{1,300}))(?::\d+)?: in (?:(main chunk)|"
    r"(?:function|method|field|upvalue|local|global|metamethod)? ?(?:['`]([^'\n]{1,200})'|<([^>\n:]{1,300}):\d+>|\?))",
    re.MULTILINE,
)
_LUA_LIBRARY = lazy(r"/share/lua/|/lualib/|/rocks/|/luarocks/")
_PERL_FRAME = lazy(r"^[ \t]+(\w[\w:]{0,300})\([^\n]*\) called at (\S{1,500}) line \d+", re.MULTILINE)
_PERL_LIBRARY = lazy(r"/perl5?/|/share/perl|/site_perl|/vendor_perl|/local/lib/")
_PERL_GENERATED = lazy(r"::__ANON__$")


def dart(text: str) -> list[Link]:
    """`#0      Cart.add (package:shop/cart.dart:12:5)`, see https://api.dart.dev/dart-core/StackTrace-class.html."""
    if "#0 " not in text and "#1 " not in text:
        return []
    found = _DART_FRAME.findall(text)
    return _one([(_DART_GENERATED.sub("", name), not path.startswith(_DART_LIBRARIES)) for name, path in found])


def swift(text: str) -> list[Link]:
    """`1 [ra] 0x… in Cart.add(_:) + 12 in shop at /srv/Cart.swift:12:9`, before 5.9 `1   shop   0x… main + 12`.

    https://www.swift.org/blog/swift-5.9-backtraces/
    """
    if " + " not in text:
        return []
    frames = []
    for name, image, older_image, older_name in _SWIFT_FRAME.findall(text):
        frames.append(
            (_SWIFT_GENERATED.sub("", name or older_name), _SWIFT_LIBRARIES.match(image or older_image) is None)
        )
    return _one(frames)


def lua(text: str) -> list[Link]:
    """`        cart.lua:12: in function 'add'`, see https://www.lua.org/manual/5.4/manual.html#pdf-debug.traceback."""
    if ": in " not in text:
        return []
    frames = []
    for inner, path, main, name, unnamed in _LUA_FRAME.findall(text):
        where = module_of(path or unnamed) if path or unnamed else inner.partition(" ")[0]
        ours = inner != "C" and _LUA_LIBRARY.search(path) is None
        frames.append((f"{where}:{'main' if main else name}", ours))
    return _one(frames)


def perl(text: str) -> list[Link]:
    """`        Shop::Cart::add("apple") called at /srv/web.pl line 7`, see https://perldoc.perl.org/Carp."""
    if " called at " not in text:
        return []
    return _one(
        [
            (_PERL_GENERATED.sub("", name), _PERL_LIBRARY.search(path) is None)
            for name, path in _PERL_FRAME.findall(text)
            if name != "eval"
        ]
    )


OTHERS = (php, elixir, erlang, dart, swift, lua, perl)
