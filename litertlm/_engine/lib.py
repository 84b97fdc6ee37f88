"""The compiled module, the engine library, and the one translator from status to exception.

The only importer of ``litertlm._native``.
"""

from __future__ import annotations

import importlib.metadata
import mmap
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from litertlm._native import ffi, lib
from litertlm.errors import (
    Cancelled,
    ChatBusy,
    ContextOverflow,
    EngineError,
    EngineLibraryError,
    LiteRTLMError,
    MessageError,
    OptionError,
    TemplateError,
    ToolCallSyntaxError,
)

__all__ = ["SILENT", "Library", "check", "ffi", "lib", "load_library", "native_text", "python_text"]

WHEEL = "litert-lm-api"
SUPPORTED = (0, 18)
ENVIRONMENT = "LITERTLM_LIB"

SILENT = 1000
"""Log level at which the engine prints nothing."""

# Words of the engine that tell failures apart which share a status code. Each was seen in the library named
# in pyproject.toml; a test provokes each of them.
_OVERFLOW = (
    "Input token ids are too long",
    "exceeds available state entries",
    "Max number of tokens reached",
)
_CONSTRAINT = ("Failed to create LLGuidance constraint: ", "Failed to create GemmaModelConstraintProvider")
_UNREACHABLE = "Failed to commit token: "
_TOOL_CALL = re.compile(
    r"Failed to parse tool calls from code block: (.*?)(?:\nfull response: (.*?))?(?:\nerror: |\Z)", re.DOTALL
)
_TEMPLATE = ("Failed to apply template", "rendered template string does not start with")
_TEMPLATE_PREFIX = re.compile(r"^(?:[A-Z_]+: |Failed to apply template: |Template creation failed: )+")
_TEMPLATE_LINE = re.compile(r" ?\(in [^()]*:(\d+)\)")


class Library:
    """A loaded engine library.

    Attributes:
        pointer: The native handle; lives until the process ends, like the shared object itself.
        path: The file.
        version: Its version, "" when it could not be told.
    """

    def __init__(self, pointer: Any, path: str, version: str) -> None:
        self.pointer = pointer
        self.path = path
        self.version = version
        self._capabilities = int(lib.ltlm_library_capabilities(pointer))

    def can(self, capability: int) -> bool:
        """Whether the library has an optional group of functions (an ``LTLM_CAN_...`` bit)."""
        return bool(self._capabilities & capability)


_loaded: dict[str, Library] = {}
_loading = threading.Lock()


def load_library(path: str | os.PathLike[str] | None = None) -> Library:
    """Load the engine library, once per file and process, and silence its log.

    Args:
        path: The file; None: ``$LITERTLM_LIB``, else the one that the installed engine wheel carries.

    Raises:
        EngineLibraryError: It is missing, cannot be loaded, or is of a version that does not fit.
    """
    file, version = _locate(path)
    with _loading:
        known = _loaded.get(file)
        if known is None:
            error = new_error()
            out = ffi.new("ltlm_library **")
            if lib.ltlm_library_open(native_text(file, "library path"), out, error) != lib.LTLM_OK:
                raise EngineLibraryError(
                    f"{file}{f' (version {version})' if version else ''}: {python_text(error.reason)}",
                    hint=f"Install the library that fits: pip install '{WHEEL}>=0.18.1,<0.19'.",
                )
            lib.ltlm_library_set_log_level(out[0], SILENT)
            known = _loaded[file] = Library(out[0], file, version)
        return known


def _locate(path: str | os.PathLike[str] | None) -> tuple[str, str]:
    """The library's absolute path and its version."""
    asked = os.fspath(path) if path is not None else os.environ.get(ENVIRONMENT)
    if asked:
        file = Path(asked).absolute()
        if not file.is_file():
            source = "lib=" if path is not None else f"${ENVIRONMENT}"
            raise EngineLibraryError(f"{source} names a file that does not exist: {file}")
        version = _version_inside(file)
        _require(version, str(file))
        return str(file), version
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    try:
        distribution = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise EngineLibraryError(
            f"The package {WHEEL}, which carries the engine library, is not installed",
            hint=f"Run: pip install '{WHEEL}>=0.18.1,<0.19'.",
        ) from None
    for entry in distribution.files or ():
        if entry.name.endswith(f"litert-lm{suffix}"):
            _require(distribution.version, WHEEL)
            return str(Path(str(entry.locate())).absolute()), distribution.version
    raise EngineLibraryError(
        f"The installed {WHEEL} {distribution.version} carries no library for this platform",
        hint="Set LITERTLM_LIB to the engine library's file.",
    )


def _version_inside(file: Path) -> str:
    """The version string that the library's builders left in it, "" when there is none of ours."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(rb"\x00(0\.18\.\d+)\x00", content)
        return found[1].decode() if found else ""


def _require(version: str, what: str) -> None:
    """Refuse other versions: later ones take other arguments under the same names, and would crash."""
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) != SUPPORTED:
        raise EngineLibraryError(
            f"{what} is of {f'version {version}' if version else 'an unknown version'}; "
            "litertlm needs 0.18.1 or later, below 0.19",
            hint=f"Run: pip install '{WHEEL}>=0.18.1,<0.19'.",
        )


def new_error() -> Any:
    """A fresh ``ltlm_error``."""
    return ffi.new("ltlm_error *")


def native_text(text: str, what: str) -> bytes:
    """``text`` as the engine takes it.

    Raises:
        MessageError: It holds a NUL character, which would cut it, or lone surrogates, which are no text and
            would abort the engine's tokenizer.
    """
    if "\0" in text:
        raise MessageError(
            f"The {what} contains a NUL character (at position {text.index(chr(0))})",
            hint="Remove it; a model cannot read it.",
        )
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MessageError(
            f"The {what} is not valid Unicode text (lone surrogate at position {error.start})",
            hint="Decode the original bytes with the right encoding, or with errors='replace'.",
        ) from None


def python_text(pointer: Any) -> str:
    """A C string as text; bytes that are not UTF-8 become U+FFFD, as the engine's words may hold any."""
    raw: bytes = ffi.string(pointer)
    return raw.decode("utf-8", errors="replace")


def check(status: int, error: Any, *, used: int = 0, needed: int = 0, limit: int = 0) -> None:
    """Raise what ``status`` means; nothing for success.

    Args:
        status: What the native call returned.
        error: The ``ltlm_error *`` that it filled.
        used: Tokens of the conversation, for a ContextOverflow, if it turns out to be one.
        needed: Tokens of the message, likewise.
        limit: Of the context, likewise.
    """
    if status != lib.LTLM_OK:
        raise to_exception(error, used=used, needed=needed, limit=limit)


def to_exception(error: Any, *, used: int = 0, needed: int = 0, limit: int = 0) -> LiteRTLMError:
    """The exception for a filled ``ltlm_error``; arguments as for :func:`check`."""
    status, code, reason = error.status, int(error.engine_code), python_text(error.reason)
    if status == lib.LTLM_E_CANCELLED:
        return Cancelled("The turn was cancelled")
    if status == lib.LTLM_E_BUSY:
        return ChatBusy(
            "Another turn is still running on this chat", hint="Finish or close its stream first."
        )
    if status == lib.LTLM_E_ENGINE:
        if any(words in reason for words in _OVERFLOW):
            return ContextOverflow(used, needed, limit)
        if any(words in reason for words in _TEMPLATE):
            return _template_error(reason)
        return _special(reason, code) or EngineError(
            reason or "The engine failed and gave no reason", code=code
        )
    name = python_text(lib.ltlm_status_name(status))
    if status == lib.LTLM_E_NO_MEMORY:
        return EngineError("Out of memory", hint="Close other chats, or use a smaller model or context.")
    return EngineError(f"{name}: {reason}" if reason else name, code=code)


def _template_error(reason: str) -> TemplateError:
    """The engine's words without its prefixes, the line first."""
    found = _TEMPLATE_LINE.search(reason)
    line = int(found[1]) if found else None
    words = _TEMPLATE_PREFIX.sub("", _TEMPLATE_LINE.sub("", reason)).strip()
    python = "unknown method" in words
    hint = "The engine's templates know no Python methods; use filters and tests." if python else ""
    place = f" in line {line}" if line else ""
    return TemplateError(f"The chat template failed{place}: {words}", line=line, hint=hint)


def _special(reason: str, code: int) -> LiteRTLMError | None:
    """The exception for what only some options can bring about, None for anything else."""
    if any(words in reason for words in _CONSTRAINT):
        return OptionError(f"The engine cannot work with this response_format: {reason}")
    if _UNREACHABLE in reason:
        return OptionError(
            f"This model cannot write what response_format demands: {reason.splitlines()[0]}",
            hint="The engine cannot enforce spaces and non-ASCII letters; free JSON strings may hold them.",
        )
    call = _TOOL_CALL.search(reason)
    if call is not None:
        text = call[2] or call[1]
        return ToolCallSyntaxError(
            f"The model wrote a tool call that cannot be read: {text}", text, code=code
        )
    return None
