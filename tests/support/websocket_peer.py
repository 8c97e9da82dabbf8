"""Both ends of a WebSocket (RFC 6455) by a library in wide use.

    websocket_peer.py serve             an echo on a free port, which it names on standard error; until it is killed
    websocket_peer.py talk URL [CA]     text, binary in fragments, pings, many at a time, a close with a code; 0: all as sent
"""
import asyncio
import os
import ssl
import sys

import websockets


async def echo(connection):
    async for message in connection:
        if message == "enough":
            await connection.close(4001, "as asked")
            return
        await connection.send(message)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=1 << 24) as server:
        print("listening on port", server.sockets[0].getsockname()[1], file=sys.stderr, flush=True)
        await asyncio.Future()


async def talk(url, ca=None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with websockets.connect(url, ssl=context, max_size=1 << 24) as connection:
        await connection.send("grüße")
        assert await connection.recv() == "grüße"
        large = os.urandom(3 << 20)
        await connection.send(large[at : at + 65536] for at in range(0, len(large), 65536))
        assert await connection.recv() == large
        await asyncio.wait_for(await connection.ping(), 30)
        numbers = [str(i) for i in range(2000)]
        sending = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(connection.send(each)) for each in numbers]))
        assert [await connection.recv() for _ in numbers] == numbers
        await sending
        assert any(each.name == "permessage-deflate" for each in connection.extensions), connection.extensions
        await connection.send("enough")
        try:
            await connection.recv()
        except websockets.exceptions.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as asked"), closed
            return
        raise AssertionError("it was not closed")


asyncio.run({"serve": serve, "talk": talk}[sys.argv[1]](*sys.argv[2:]))
