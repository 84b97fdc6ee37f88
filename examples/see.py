"""Ask about a picture, then ask again: it is still in the KV cache."""

import sys
from pathlib import Path

from litertlm import Client, Image

picture = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "media" / "red_circle.png"

with Client() as client, client.chat() as chat:
    print(chat.send_multi([Image(picture), "What colour is this?"]))
    print(chat.send("What shape is it?"))
