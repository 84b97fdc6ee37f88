"""Our own engine for the CPU: unmodified model files, a KV cache in pages, all chats in one pass.

::

    text/             messages <-> token ids
    plan/             the model's decode graph -> a plan of what is computed
    compiled.py       a plan, as the C engine takes it
    pool.py           the threads that compute, one pool for the process
    engine.py         a loaded model
    conversation.py   what was said, and the KV of it
    transcript.py     what of it stands in the KV cache, as text and as ids
    turn.py           a turn of a conversation, and a continued text
    generation.py     tokens of one reply as they come
    settings.py       how they are chosen
    masking.py        which of them may come next
    ahead.py          what is prefilled before there is a turn
    kv_state.py       a KV cache as bytes
    scoring.py        how likely a text is
"""
