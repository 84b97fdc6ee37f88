"""Say hello to the bundled model, offline."""

from litertlm import Client

with Client() as client, client.chat() as chat:
    print(chat.send("Hello! Who are you?"))
    reply = chat.send("What can you do?")
    print(reply)
    print(f"[{reply.usage.total_tokens} tokens, {reply.timings.decode_tokens_per_second:.0f} tokens/s]")
