"""``litertlm run``: one question, one answer."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from typing import Any

from litertlm import Audio, Chat, Client, Image, Reply, Sampler, Stream, Text
from litertlm.cli.exits import OK, UsageError, report_interrupt
from litertlm.cli.show import engine_text
from litertlm.cli.terminal import Paint, Spinner, TextWriter, clean

__all__ = ["default_prompt", "open_chat", "open_client", "run", "stats_line"]


def run(arguments: Namespace) -> int:
    """Ask the model and print what it says.

    Returns:
        The exit status.

    Raises:
        LiteRTLMError: It did not work.
        UsageError: There is nothing to ask.
    """
    parts = _parts(arguments)
    answer = TextWriter(sys.stdout)
    thoughts = TextWriter(sys.stderr, dim=True)
    try:
        with (
            Spinner("Loading the model…") as spinner,
            open_client(arguments) as client,
            open_chat(client, arguments) as chat,
        ):
            spinner.say("Reading…")
            with chat.send_multi_stream(parts, timeout=arguments.timeout) as stream:
                if arguments.json:
                    for _ in stream:
                        pass
                else:
                    _print(stream, spinner, answer, thoughts if arguments.think else None)
            if arguments.json:
                print(_as_json(stream.reply, client))
            _remark(stream.reply, client, chat, arguments)
    except KeyboardInterrupt:
        # The cursor is behind what was said so far, or behind a lone ^C.
        said = answer.line_open
        answer.finish()
        return report_interrupt(as_json=arguments.json, line_open=not said)
    return OK


def open_client(arguments: Namespace) -> Client:
    """The client that ``--model``, ``--backend`` and ``--threads`` ask for."""
    return Client(
        arguments.model, backend=arguments.backend, engine=arguments.engine, threads=arguments.threads
    )


def open_chat(client: Client, arguments: Namespace, system: str | None = None) -> Chat:
    """The chat that the other options ask for.

    Args:
        client: Whose.
        arguments: The command line.
        system: Instead of ``--system``.
    """
    return client.chat(
        system or arguments.system,
        sampler=Sampler(temperature=arguments.temperature, min_p=arguments.min_p, seed=arguments.seed),
        max_output_tokens=arguments.max_output_tokens,
        thinking=arguments.think,
    )


def default_prompt(kinds: set[str]) -> str:
    """What is asked about media (``"image"``, ``"audio"``) that come without a question."""
    if kinds == {"image"}:
        return "What is this?"
    return "What do you hear?" if kinds == {"audio"} else "What do you see and hear?"


def stats_line(reply: Reply, chat: Chat) -> str:
    """Tokens and speed of a reply, in one line."""
    timings, usage = reply.timings, reply.usage
    said = [f"{usage.prompt_tokens} tokens read"]
    if usage.image_tokens or usage.audio_tokens:
        said[0] += f" ({usage.image_tokens + usage.audio_tokens} of media)"
    said.append(f"{usage.completion_tokens} written")
    if timings.decode_tokens_per_second:
        said.append(f"{timings.decode_tokens_per_second:.0f} per second")
    said.append(f"first after {timings.time_to_first_token:.2f} s")
    said.append(f"{timings.total:.2f} s in all")
    context = chat.context
    if context.limit:
        said.append(f"context {context.used} of {context.limit}")
    return ", ".join(said)


def _parts(arguments: Namespace) -> list[Text | Image | Audio]:
    """What the message consists of: media in their order, then the text."""
    media: list[tuple[str, str]] = arguments.media or []
    piped = [kind for kind, name in media if name == "-"]
    if len(piped) > 1:
        raise UsageError('standard input can be only one of the files ("-" was given twice)')
    parts: list[Text | Image | Audio] = []
    for kind, name in media:
        source = sys.stdin.buffer.read() if name == "-" else name
        parts.append(Image(source) if kind == "image" else Audio(source))
    text = _text(" ".join(arguments.prompt), stdin_taken=bool(piped))
    if not text.strip():
        if not media:
            raise UsageError(
                "nothing to say",
                'Try: litertlm run "Hello!"\n'
                'Pipe text in: git log -3 | litertlm run "What happened?"\n'
                "Or hold a conversation: litertlm chat",
            )
        text = default_prompt({kind for kind, _ in media})
    return [*parts, Text(text)]


def _text(prompt: str, *, stdin_taken: bool) -> str:
    if prompt == "-":
        if stdin_taken:
            raise UsageError('standard input cannot be both the prompt and a file ("-" was given twice)')
        return _piped_text()
    if stdin_taken or sys.stdin is None or sys.stdin.isatty():
        return prompt
    return "\n\n".join(text for text in (prompt, _piped_text()) if text.strip())


def _piped_text() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\n")
    except UnicodeDecodeError:
        raise UsageError(
            "standard input is not UTF-8 text",
            "Pass a picture or a recording with --image - or --audio -, and convert text first: "
            "iconv -f latin1 -t utf-8",
        ) from None


def _print(stream: Stream, spinner: Spinner, answer: TextWriter, thoughts: TextWriter | None) -> None:
    """Write the reply as it comes; thoughts are hidden unless there is a writer for them."""
    try:
        for chunk in stream:
            if chunk.thinking and thoughts is not None:
                spinner.stop()
                thoughts.write(chunk.thinking)
            elif chunk.thinking:
                spinner.say("Thinking…")
            if chunk.text:
                spinner.stop()
                if thoughts is not None:
                    thoughts.finish()
                answer.write(chunk.text)
    finally:
        spinner.stop()
        if thoughts is not None:
            thoughts.finish()
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            answer.finish()


def _remark(reply: Reply, client: Client, chat: Chat, arguments: Namespace) -> None:
    """What else is to be said, on stderr."""
    paint = Paint(sys.stderr)
    if reply.finish_reason == "length" and arguments.max_output_tokens is None:
        print(paint.yellow("litertlm: the answer was cut: the context is full"), file=sys.stderr)
    if reply.tool_calls and not arguments.json:
        names = clean(", ".join(call.name for call in reply.tool_calls), sys.stderr)
        print(
            paint.yellow(f"litertlm: the model asked for a tool, but has none here: {names}"), file=sys.stderr
        )
    if arguments.stats:
        print(paint.dim(stats_line(reply, chat)), file=sys.stderr)
        if client.info.engine_reason is not None:
            print(paint.dim(clean(engine_text(client.info), sys.stderr)), file=sys.stderr)


def _as_json(reply: Reply, client: Client) -> str:
    info = client.info
    document: dict[str, Any] = {
        "text": reply.text,
        "thinking": reply.thinking,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": dict(call.arguments)} for call in reply.tool_calls
        ],
        "finish_reason": reply.finish_reason,
        "usage": {**dataclasses.asdict(reply.usage), "total_tokens": reply.usage.total_tokens},
        "timings": dataclasses.asdict(reply.timings),
        "model": {
            "path": info.path,
            "type": info.model_type,
            "engine": info.engine,
            "engine_reason": info.engine_reason,
            "backend": info.backend,
            "threads": info.threads,
        },
    }
    return json.dumps(document, ensure_ascii=False)
