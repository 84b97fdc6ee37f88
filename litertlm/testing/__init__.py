"""Test an application without a model.

>>> from litertlm import Client
>>> from litertlm.testing import FakeEngine
>>> with FakeEngine() as fake, Client(engine=fake) as client, client.chat() as chat:
...     fake.enqueue("Hello, Ada.")
...     assert chat.send("I am Ada.").text == "Hello, Ada."
"""

from litertlm.testing.engine import FakeEngine
from litertlm.testing.prompts import default_reply
from litertlm.testing.records import Outcome, TurnRecord
from litertlm.testing.script import ContractError, FakeReply, Gate, Responder, ScriptError
from litertlm.testing.tokens import CONTROL_TOKENS

__all__ = [
    "CONTROL_TOKENS",
    "ContractError",
    "FakeEngine",
    "FakeReply",
    "Gate",
    "Outcome",
    "Responder",
    "ScriptError",
    "TurnRecord",
    "default_reply",
]
