"""The protobuf messages of the metadata sections, by field number.

``LlmMetadata`` says how to talk to the model; ``ExecutorMetadata`` says which tensors of its graphs are the
KV cache. Fields that are not named here pass unread.
"""

from __future__ import annotations

from litertlm.modelfile.protobuf import Field, Schema

__all__ = ["EXECUTOR_METADATA", "LLM_METADATA"]

_IDS: Schema = {1: Field("ids", "int32", repeated=True)}
_TOKEN: Schema = {
    1: Field("token_ids", "message", schema=_IDS, oneof="token"),
    2: Field("token_str", "string", oneof="token"),
}
_AFFIXES: Schema = {1: Field("prefix", "string"), 2: Field("suffix", "string")}
_PROMPTS: Schema = {
    1: Field("user", "message", schema=_AFFIXES),
    2: Field("model", "message", schema=_AFFIXES),
    3: Field("system", "message", schema=_AFFIXES),
}
_CHANNEL: Schema = {
    1: Field("channel_name", "string"),
    2: Field("start", "string"),
    3: Field("end", "string"),
    4: Field("is_reasoning_channel", "bool"),
}
_SAMPLER: Schema = {
    1: Field("type", "enum"),
    2: Field("k", "int32"),
    3: Field("p", "float"),
    4: Field("temperature", "float"),
    5: Field("seed", "int32"),
    6: Field("backend", "enum"),
    7: Field("compute_exact_log_probs", "bool"),
}


def _texts(*pairs: tuple[int, str]) -> dict[int, Field]:
    return {number: Field(name, "string") for number, name in pairs}


def _tokens(*pairs: tuple[int, str]) -> dict[int, Field]:
    return {number: Field(name, "message", schema=_TOKEN) for number, name in pairs}


def _integers(*pairs: tuple[int, str]) -> dict[int, Field]:
    return {number: Field(name, "int32") for number, name in pairs}


_FENCES: Schema = {
    **_texts((1, "code_fence_start"), (2, "code_fence_end"), (4, "tool_code_regex")),
    3: Field("escape_fence_strings", "bool"),
}
_FUNCTION_CALLS: Schema = {
    **_texts((5, "code_fence_start"), (6, "code_fence_end"), (7, "syntax_type"), (9, "tool_code_regex")),
    **_texts((10, "open_quote"), (11, "close_quote"), (12, "function_response_start")),
    8: Field("escape_fence_strings", "bool"),
    14: Field("constraint_mode", "enum"),
}
_IMAGE_TENSOR: Schema = _integers((3, "image_tensor_height"), (4, "image_tensor_width"))
_IMAGE_TOKENS: Schema = _tokens((1, "start_of_image_token"), (2, "end_of_image_token"))

_FAMILIES: dict[int, tuple[str, Schema]] = {
    1: (
        "generic_model",
        {
            **{n: Field(name, "bool") for n, name in ((3, "image_enabled"), (4, "audio_enabled"))},
            **_texts((5, "delimiter_regex"), (6, "image_token_regex"), (7, "audio_token_regex")),
            **_integers((8, "image_tensor_height"), (9, "image_tensor_width"), (10, "patch_width")),
            **_integers((11, "patch_height"), (12, "max_num_patches"), (13, "pooling_kernel_size")),
            **_tokens((14, "start_of_image_token"), (15, "end_of_image_token")),
            **_texts((16, "image_prefix"), (17, "image_suffix"), (39, "audio_prefix"), (40, "audio_suffix")),
            **_tokens((37, "start_of_audio_token"), (38, "end_of_audio_token")),
        },
    ),
    2: (
        "gemma3n",
        {**_IMAGE_TOKENS, **_IMAGE_TENSOR, **_tokens((5, "start_of_audio_token"), (6, "end_of_audio_token"))},
    ),
    3: ("function_gemma", {**_FUNCTION_CALLS, 13: Field("use_template_for_fc_format", "bool")}),
    4: ("gemma3", {**_IMAGE_TOKENS, **_IMAGE_TENSOR}),
    5: ("qwen3", _FENCES),
    7: ("qwen2p5", _FENCES),
    8: (
        "gemma4",
        {
            **_IMAGE_TOKENS,
            **_tokens((3, "start_of_audio_token"), (4, "end_of_audio_token")),
            **_FUNCTION_CALLS,
            **_integers((15, "patch_width"), (16, "patch_height"), (17, "max_num_patches")),
            18: Field("pooling_kernel_size", "int32"),
            19: Field("skip_mel_spectrogram_extraction", "bool"),
            20: Field("merge_patches", "bool"),
        },
    ),
    9: ("fast_vlm", _IMAGE_TENSOR),
    11: (
        "lfm2",
        {
            **_IMAGE_TOKENS,
            **_integers((3, "patch_width"), (4, "patch_height"), (5, "max_num_patches")),
            **_integers((6, "pooling_kernel_size"), (7, "image_tensor_height"), (8, "image_tensor_width")),
            9: Field("normalization_mean", "float", repeated=True),
            10: Field("normalization_std", "float", repeated=True),
            11: Field("normalization_rescale_factor", "float"),
            **_texts((12, "code_fence_start"), (13, "code_fence_end")),
            14: Field("escape_fence_strings", "bool"),
        },
    ),
    12: ("minicpm5", _FENCES),
    13: ("minicpmv4", {}),
}

LLM_METADATA: Schema = {
    1: Field("start_token", "message", schema=_TOKEN),
    2: Field("stop_tokens", "message", schema=_TOKEN, repeated=True),
    3: Field("prompt_templates", "message", schema=_PROMPTS),
    4: Field("sampler_params", "message", schema=_SAMPLER),
    5: Field("max_num_tokens", "int32"),
    6: Field(
        "llm_model_type",
        "message",
        schema={
            number: Field(name, "message", schema=schema, oneof="model type")
            for number, (name, schema) in _FAMILIES.items()
        },
    ),
    7: Field("jinja_prompt_template", "string"),
    8: Field("channels", "message", schema=_CHANNEL, repeated=True),
    9: Field("suppress_tokens", "message", schema=_IDS),
    10: Field("kv_cache_init_value", "int64"),
    11: Field("supports_thinking", "bool"),
    12: Field("supports_function_calling", "bool"),
    13: Field("pad_token", "message", schema=_TOKEN),
    14: Field("min_runtime_version", "string"),
}

_STATE_BUFFER: Schema = {
    **_texts((1, "prefill_input_name"), (2, "prefill_output_name")),
    **_texts((3, "decode_input_name"), (4, "decode_output_name")),
    5: Field("policy", "enum"),
    6: Field("type", "enum"),
    **_integers((7, "sequence_axis"), (8, "minimum_sequence_length"), (9, "maximum_sequence_length")),
}
_ATTENTION_MASK: Schema = {
    1: Field("attention_mask_type", "enum"),
    2: Field("local_attention_mask_type", "enum"),
    3: Field("sliding_window_size", "int32"),
}
EXECUTOR_METADATA: Schema = {
    1: Field(
        "llm_executor_metadata",
        "message",
        schema={
            1: Field("max_history_size", "int32"),
            2: Field("state_buffers", "message", schema=_STATE_BUFFER, repeated=True),
            3: Field("attention_mask_settings", "message", schema=_ATTENTION_MASK),
        },
    )
}
