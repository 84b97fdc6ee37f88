"""A model, loaded once, and the chats that use it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from litertlm._engine.model import KnowsItsModel, ModelFacts, facts_from
from litertlm.bundled import bundled_model
from litertlm.chat import Chat
from litertlm.errors import BackendUnavailable, ModalityUnavailable, OptionError
from litertlm.folders import cache_folder
from litertlm.messages import Message, Text
from litertlm.modelfile import ModelDescription, open_model
from litertlm.modelfile.control_tokens import read_control_tokens
from litertlm.options import (
    Backend,
    EncoderBackend,
    Sampler,
    TurnOptions,
    check_choice,
    check_integer,
    sampler_from,
)
from litertlm.templates import Markers
from litertlm.tools import Tool

if TYPE_CHECKING:
    from litertlm._engine.seam import Engine

__all__ = ["Client", "ClientInfo"]

MODALITY_OF = {"vision": "image", "audio": "audio"}

# Sampling of a model that does not say how it wants to be sampled: what its family's makers recommend.
FALLBACK_SAMPLER = Sampler(temperature=1.0, top_k=64, top_p=0.95, seed=0)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a client really uses.

    Attributes:
        path: The model file.
        model_type: The model's family, for example ``"gemma4"``.
        engine: Which engine runs it.
        library: The engine library's file.
        library_version: Its version.
        backend: Where the text model runs.
        vision_backend: Where images are encoded; None: nowhere.
        audio_backend: Where sound is encoded; None: nowhere.
        threads: CPU threads.
        max_context: Context length in tokens, None when the model does not say.
        modalities: What a message may hold: ``"text"``, ``"image"``, ``"audio"``.
        cache_dir: Where weight caches are kept, None when nowhere.
        sampler: How replies are sampled when nothing else is said.
        supports_thinking: Whether the model has a thinking channel.
        supports_tools: Whether the model can call tools.
    """

    path: str
    model_type: str
    engine: str
    library: str
    library_version: str
    backend: str
    vision_backend: str | None
    audio_backend: str | None
    threads: int
    max_context: int | None
    modalities: tuple[str, ...]
    cache_dir: str | None
    sampler: Sampler
    supports_thinking: bool
    supports_tools: bool


class Client:
    """Opens a model; :meth:`chat` starts conversations with it.

    Args:
        model: A model file; None: the small one that comes with the package.
        backend: Where the text model runs: ``"cpu"`` or ``"gpu"``.
        vision_backend: Where images are encoded: ``"cpu"``, ``"gpu"``, ``"off"``, or ``"auto"``: as the text
            model, if the model has a vision encoder.
        audio_backend: The same for sound, except that ``"auto"`` is the CPU.
        threads: CPU threads; None: one for each physical core that the process may use.
        max_tokens: Context length wanted; None: the model's. It cannot be raised above the model's.
        cache_dir: Folder in which the engine keeps prepared weights, which makes the next start faster; None:
            a folder in the user's cache (``$LITERTLM_HOME/cache`` if that is set); ``"off"``: keep none.
        lib: The engine library's file; None: ``$LITERTLM_LIB``, else the installed one.
        engine: An engine that is already there, such as :class:`litertlm.testing.FakeEngine`. No model file
            is opened then, and no other setting may be given. The client closes it.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFileError: It is not a model, or damaged.
        BackendUnavailable: The GPU cannot be used.
        ModalityUnavailable: An encoder was asked for that the model does not have.
        EngineLibraryError: The engine library is missing or does not fit.
        EngineError: The engine cannot load the model.
        OptionError: A setting is unknown, out of range, or has no effect beside ``engine``.

    A client is a context manager; closing it closes its chats. Threads: any.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: Backend = "cpu",
        vision_backend: EncoderBackend = "auto",
        audio_backend: EncoderBackend = "auto",
        threads: int | None = None,
        max_tokens: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        lib: str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "model": model,
            "backend": backend,
            "vision_backend": vision_backend,
            "audio_backend": audio_backend,
            "threads": threads,
            "max_tokens": max_tokens,
            "cache_dir": cache_dir,
            "lib": lib,
        }
        self._engine: Engine
        self._model: ModelFacts
        if engine is None:
            self._engine, self._model = _load(**settings)
        else:
            _require_defaults(settings)
            self._engine, self._model = engine, _model_of(engine)
        self._markers = Markers(self._model.control_tokens)

    @property
    def info(self) -> ClientInfo:
        """What is really used."""
        engine, model = self._engine.info, self._model
        return ClientInfo(
            path=model.path,
            model_type=model.model_type,
            engine=engine.engine,
            library=engine.library,
            library_version=engine.library_version,
            backend=engine.backend,
            vision_backend=engine.vision_backend,
            audio_backend=engine.audio_backend,
            threads=engine.threads,
            max_context=engine.max_context,
            modalities=model.modalities,
            cache_dir=engine.cache_dir,
            sampler=model.sampler,
            supports_thinking=model.supports_thinking,
            supports_tools=model.supports_tools,
        )

    def chat(
        self,
        system: str | None = None,
        *,
        tools: Iterable[Tool] = (),
        sampler: Sampler | Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
        thinking: bool | None = None,
        chat_template: str | None = None,
    ) -> Chat:
        """Start a conversation.

        Args:
            system: How the model should behave.
            tools: What the model may call; calls come back in ``reply.tool_calls``, results go in with
                :meth:`~litertlm.chat.Chat.send_tool_result`.
            sampler: How tokens are chosen; fields left out are the model's (see ``info.sampler``).
            max_output_tokens: Cut every reply after this many tokens; None: no limit but the context.
            thinking: Whether the model may think before it answers; None: as its template says.
            chat_template: Jinja text to use instead of the model's own template.

        Raises:
            OptionError: A setting is out of range, or two tools share a name.
            MessageError: The system message, a tool or the template holds what no model can read.
            TemplateError: The template cannot render the system message and the tools.
            ClosedError: The client is closed.
            EngineError: The engine refused.
        """
        from litertlm._engine.seam import Preface, ToolSpec

        TurnOptions(max_output_tokens)
        declared = tuple(tools)
        names = [tool.name for tool in declared]
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"Two tools are called {name!r}")
        messages: tuple[Message, ...] = ()
        if system:
            messages = (Message("system", (Text(system),)),)
        preface = Preface(
            messages=messages,
            tools=tuple(ToolSpec(tool.name, tool.description, tool.parameters) for tool in declared),
            sampler=sampler_from(sampler),
            thinking=thinking,
            chat_template=chat_template,
        )
        return Chat(
            self._engine.open(preface),
            preface=messages,
            limit=self._engine.info.max_context,
            modalities=self._model.modalities,
            markers=self._markers,
            max_output_tokens=max_output_tokens,
        )

    def close(self) -> None:
        """Stop what runs, close the chats, free the model. Idempotent."""
        self._engine.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client: {self._model.path} on {self._engine.info.backend}>"


def check_backend(backend: object) -> None:
    """Raises BackendUnavailable unless it is one that litertlm knows."""
    if backend not in get_args(Backend):
        raise BackendUnavailable(
            f"There is no backend {backend!r}",
            backend=str(backend),
            hint=f"Use one of: {', '.join(get_args(Backend))}.",
        )


def _load(
    *,
    model: str | os.PathLike[str] | None,
    backend: Backend,
    vision_backend: EncoderBackend,
    audio_backend: EncoderBackend,
    threads: int | None,
    max_tokens: int | None,
    cache_dir: str | os.PathLike[str] | None,
    lib: str | os.PathLike[str] | None,
) -> tuple[Engine, ModelFacts]:
    """Verify the model file and load it; arguments as for :class:`Client`."""
    check_backend(backend)
    check_choice("vision_backend", vision_backend, get_args(EncoderBackend))
    check_choice("audio_backend", audio_backend, get_args(EncoderBackend))
    # The engine really starts as many threads as it is told.
    check_integer("threads", threads, 1, os.cpu_count() or 1)
    check_integer("max_tokens", max_tokens, 16, 2**31 - 1)
    with open_model(bundled_model() if model is None else model) as file:
        description = file.description
        backends = {
            "vision": _encoder_backend("vision", vision_backend, backend, description),
            "audio": _encoder_backend("audio", audio_backend, "cpu", description),
        }
        limits = [limit for limit in (max_tokens, description.max_context) if limit is not None]
        # Imported here: the engine library is loaded when it is used, not when litertlm is imported.
        from litertlm._engine.cores import available_cores
        from litertlm._engine.lib import load_library
        from litertlm._engine.litert import LiteRtEngine, LoadOptions

        facts = ModelFacts(
            path=description.path,
            model_type=description.model_type,
            modalities=("text", *(MODALITY_OF[kind] for kind, where in backends.items() if where)),
            control_tokens=read_control_tokens(file),
            sampler=_model_sampler(description),
            supports_thinking=description.supports_thinking,
            supports_tools=description.supports_tools,
        )
        engine = LiteRtEngine(
            load_library(lib),
            LoadOptions(
                path=str(Path(file.path).absolute()),
                descriptor=file.descriptor,
                backend=backend,
                vision_backend=backends["vision"],
                audio_backend=backends["audio"],
                threads=threads or available_cores(),
                max_tokens=max_tokens,
                max_context=min(limits, default=None),
                cache_dir=_cache_dir(cache_dir),
                sampler=facts.sampler,
                image_tokens=description.max_image_tokens or 0,
            ),
        )
    return engine, facts


def _model_of(engine: Engine) -> ModelFacts:
    return engine.model if isinstance(engine, KnowsItsModel) else facts_from(engine.info, FALLBACK_SAMPLER)


def _require_defaults(settings: Mapping[str, Any]) -> None:
    """Raises OptionError if a setting was given: beside an engine it would be silently ignored."""
    defaults = inspect.signature(Client).parameters
    for name, value in settings.items():
        if value != defaults[name].default:
            raise OptionError(
                f"{name} has no effect beside engine", hint=f"Pass either {name} or engine, not both."
            )


def _encoder_backend(
    kind: str, asked: EncoderBackend, auto: str, description: ModelDescription
) -> str | None:
    """Where an encoder runs; None when it is off or the model has none."""
    present = MODALITY_OF[kind] in description.modalities
    if asked == "off" or (asked == "auto" and not present):
        return None
    if not present:
        raise ModalityUnavailable(
            f"{description.path} has no {kind} encoder, but {kind}_backend={asked!r} asks for one",
            modality=MODALITY_OF[kind],
            hint=f"Leave {kind}_backend out, or use a model that has one.",
        )
    return auto if asked == "auto" else asked


def _model_sampler(description: ModelDescription) -> Sampler:
    """The model's defaults, with every field set."""
    said = description.sampler
    if said is None:
        return FALLBACK_SAMPLER
    if said.kind == "greedy":
        return Sampler(temperature=0.0, top_k=1, top_p=1.0, seed=0)
    fallback = FALLBACK_SAMPLER
    return Sampler(
        temperature=fallback.temperature if said.temperature is None else _short(said.temperature),
        top_k=said.top_k or fallback.top_k,
        top_p=_short(said.top_p) if said.top_p is not None and said.kind == "top_p" else 1.0,
        seed=said.seed or 0,
    )


def _short(value: float) -> float:
    """A 32-bit float as a person would write it: 0.95, not 0.949999988079071."""
    return float(f"{value:.6g}")


def _cache_dir(asked: str | os.PathLike[str] | None) -> str | None:
    """The folder for weight caches, made if needed; None: none can or should be kept."""
    if asked is not None and os.fspath(asked) == "off":
        return None
    folder = cache_folder() if asked is None else Path(asked).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if usable:
        return str(folder)
    if asked is None:
        return None  # a read-only device works without
    raise OptionError(
        f"cache_dir is not a writable folder: {folder}", hint="Name another one, or cache_dir='off'."
    )
