"""Ask about a recording."""

import sys
from pathlib import Path

from litertlm import Audio, Client

recording = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "media" / "three_beeps.wav"

with Client() as client, client.chat() as chat:
    print(chat.send_multi([Audio(recording), "How many beeps do you hear?"]))
