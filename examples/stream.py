"""Print a reply as it comes, and leave another one early: the chat forgets what was left."""

from litertlm import Client

with Client() as client, client.chat() as chat:
    for chunk in chat.send_stream("Tell me a story."):
        print(chunk.text, end="", flush=True)
    print()

    for number, _ in enumerate(chat.send_stream("Tell me a story.")):
        if number == 3:
            break
    print(f"{len(chat.history)} messages, {chat.context.remaining} tokens left")
