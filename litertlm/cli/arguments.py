"""The command line: what can be asked for, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import litertlm

__all__ = ["parse"]

_EXAMPLES = """\
examples:
  litertlm run "Hello!"
  litertlm run --image photo.jpg "What is in this picture?"
  git diff | litertlm run "Summarise this change"
  litertlm chat
  litertlm doctor

Without --model, the small model that comes with the package is used.
"""

_RUN_NOTES = """\
PROMPT may be left out when text is piped in, or when there is an image or a
recording; "-" stands for standard input. With both a prompt and piped text the
model gets the prompt, a blank line, and the text.
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that looks the same on every version of Python: ``-m, --model MODEL``."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


class _Media(argparse.Action):
    """Collects ``--image`` and ``--audio`` in one list, in the order in which they stand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.media = [*(namespace.media or ()), (self.const, values)]


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command and its options; prints help or a complaint and raises SystemExit where argparse does.

    Args:
        argv: None: the process's own arguments.
    """
    parser = argparse.ArgumentParser(
        prog="litertlm",
        description=litertlm.__doc__.splitlines()[0] if litertlm.__doc__ else None,
        epilog=_EXAMPLES,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"litertlm {litertlm.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in (_run, _chat, _show, _doctor):
        add(commands)
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        parser.exit()
    return arguments


def _command(commands: Any, name: str, summary: str, **more: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=_Help,
        allow_abbrev=False,
        **more,
    )
    return parser


def _run(commands: Any) -> None:
    parser = _command(commands, "run", "ask once, print the answer as it comes", epilog=_RUN_NOTES)
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to say; several words are joined")
    for kind, what in (("image", "a picture"), ("audio", "a recording")):
        parser.add_argument(
            f"--{kind}",
            action=_Media,
            const=kind,
            dest="media",
            metavar="FILE",
            help=f'{what} to go before the prompt, "-": standard input; may be repeated',
        )
    _model(parser)
    _reply(parser)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after this long")
    parser.add_argument(
        "-v",
        "--verbose",
        "--stats",
        action="store_true",
        dest="stats",
        help="tokens and speed, on stderr; why it is not litertlm's own engine",
    )
    parser.add_argument("--json", action="store_true", help="print the whole reply as one JSON object")


def _chat(commands: Any) -> None:
    parser = _command(commands, "chat", "hold a conversation in the terminal")
    _model(parser)
    _reply(parser)


def _show(commands: Any) -> None:
    parser = _command(commands, "show", "describe a model file")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="default: the model of the package")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--template", action="store_true", help="print the chat template only")
    form.add_argument("--json", action="store_true", help="print a JSON object")


def _doctor(commands: Any) -> None:
    parser = _command(commands, "doctor", "check that models can run on this machine")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="default: the model of the package")
    parser.add_argument(
        "--backend",
        choices=("cpu", "gpu"),
        help="gpu: fail unless it runs there (default: try what is found)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="for each trial of the model (default: 120)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-m", "--model", metavar="MODEL", help="a model file (default: the one of the package)"
    )
    parser.add_argument(
        "--backend", choices=("cpu", "gpu"), default="cpu", help="where it runs (default: cpu)"
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "native", "litert"),
        default="auto",
        help="litertlm's own engine, or the official library (default: the own one wherever it can)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: one for each core)")


def _reply(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-s", "--system", metavar="TEXT", help="how the model should behave")
    parser.add_argument("--temperature", type=float, metavar="T", help="0: always the likeliest word")
    parser.add_argument(
        "--min-p",
        type=float,
        metavar="P",
        help="leave out words less likely than P times the likeliest",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same answer")
    parser.add_argument(
        "--max-output-tokens", type=int, metavar="N", help="cut the answer after this many tokens"
    )
    parser.add_argument(
        "--think",
        action=argparse.BooleanOptionalAction,
        help="let the model think first, and show it, dimmed",
    )
