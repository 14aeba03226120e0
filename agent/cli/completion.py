"""`sidelog completion`: the script that lets a shell complete, and the answers that the script asks for at each Tab.

The scripts (`etc/completion`) hand over the line up to the cursor and get a line for each word that may stand there:
its kind (`plain`; `open`: it goes on without a blank; `file`, `dir`: the shell's own names), the word, and what it is.
click finds the option or argument that the word belongs to; `agent.cli.offers` knows what may stand there.

Values come out of logs, and whoever can write a line must not be able to put a command into somebody's command line: a
word that a shell would not take as it stands is not offered.
"""

from __future__ import annotations

import os
import sys

import click
from click.shell_completion import CompletionItem, ShellComplete

from agent.cli.common import Command, Context, output_options, safe_text
from agent.cli.offers import offer
from agent.core.patterns import lazy

SCRIPTS = {"bash": "sidelog.bash", "zsh": "_sidelog", "fish": "sidelog.fish"}
_HARMLESS = lazy(r"[\w./@%+,:=-]*")  # none of it is more than itself to any of the shells, behind other words of it
_HELP_CHARS = 60


@click.command(cls=Command)
@click.argument("shell", type=click.Choice([*SCRIPTS]))
@output_options
def command(shell: str) -> None:
    """Print the script by which a shell completes commands, options and the names that the store has.

    An installed package has brought it where bash, zsh and fish look for it if its `share` lies beside a `bin` on the
    PATH. Else: eval "$(sidelog completion bash)" in ~/.bashrc, or a file as in the examples.
    """
    from agent.install.layout import shared

    click.echo(shared(f"etc/completion/{SCRIPTS[shell]}"), nl=False)


def answer(cli: click.Group, shell: str) -> int:
    """Print what may stand at the cursor of `$COMP_WORDS`. Nothing is said of what goes wrong: somebody is typing.

    Args:
        cli: the program.
        shell: which one asks.

    Returns:
        The exit code.
    """
    try:
        words = _Words(cli, {"obj": Context()}, "sidelog", shell).complete()
        sys.stdout.write(words + "\n" * bool(words))
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - whatever it is, a line that is being typed is no place for it
        return 1
    return 0


class _Words(ShellComplete):
    """click's completion with the words of our scripts; `complete_var` is the shell's name."""

    name = "sidelog"
    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, without the program, and what there is of the last."""
        line = os.environ["COMP_WORDS"]
        before, self._is_quoted = _split(line)
        return before[1:-1], before[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Each once, whole words also where click has taken `--option=` away."""
        assert isinstance(self.cli, click.Group)
        offer(self.cli, args)
        name, equals, _ = incomplete.partition("=")
        option = name + equals if equals and name.startswith("-") else ""
        cut = self._cut(incomplete)
        found = {}
        for item in super().get_completions(args, incomplete):
            word = option + item.value if item.type in {"plain", "open"} else item.value
            if item.type not in {"plain", "open"}:
                found[word] = item
            elif _is_harmless(word, incomplete):
                found[word] = CompletionItem(word[cut:], item.type, item.help)
        return [*found.values()]

    def _cut(self, incomplete: str) -> int:
        """How many characters of the word bash does not replace: those up to a character that divides words for it."""
        if self.complete_var != "bash" or self._is_quoted:
            return 0
        return 1 + max(incomplete.rfind(one) for one in os.environ.get("COMP_WORDBREAKS", "=:") + "\0")

    def format_completion(self, item: CompletionItem[str]) -> str:
        """A line of the answer."""
        text = safe_text(" ".join((item.help or "").split()))
        return f"{item.type}\t{item.value}\t{text[:_HELP_CHARS]}"


def _is_harmless(word: str, incomplete: str) -> bool:
    """Whether a shell takes for itself what a word adds to what somebody has typed, and click no name for an option."""
    if word[:1] in {"-", "="} and not incomplete:
        return False
    return word.startswith(incomplete) and _HARMLESS.fullmatch(word, len(incomplete)) is not None


def _split(line: str) -> tuple[list[str], bool]:
    """The words of a line as a shell reads it, the last one as far as it has come, and whether that one began with a
    quote that is still open.
    """
    import shlex

    for closing in ("", "'", '"'):
        try:
            found = shlex.split(line + closing)
        except ValueError:
            continue
        return (found if closing or line[-1:].strip() else [*found, ""]), bool(closing)
    raise ValueError(line)  # it ends with a backslash
