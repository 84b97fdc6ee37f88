"""Types of the compiled module; its functions and structs are declared in csrc/ltlm.h."""

from typing import Any

ffi: Any
lib: Any
