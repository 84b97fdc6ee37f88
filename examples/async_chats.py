"""Two chats of one client at the same time, with asyncio."""

import asyncio

from litertlm import AsyncClient


async def main() -> None:
    """Ask both, and show one reply as it comes."""
    async with AsyncClient() as client:
        first, second = await client.chat(), await client.chat("Be brief.")
        hello, about = await asyncio.gather(first.send("Hello!"), second.send("What is litertlm?"))
        print(hello)
        print(about)
        async with first.send_stream("Tell me a joke.") as stream:
            async for chunk in stream:
                print(chunk.text, end="", flush=True)
        print()


asyncio.run(main())
