"""A chat that survives a restart, with its picture."""

import tempfile
from pathlib import Path

from litertlm import Client, Image

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "today.chat"
    with Client() as client, client.chat() as chat:
        print(chat.send_multi([Image("examples/media/red_circle.png"), "What colour is this?"]))
        chat.save(file)
    with Client() as client, client.load_chat(file) as chat:
        print(chat.send("What shape is it?"))
        chat.undo()
        print(len(chat.history), "messages")
