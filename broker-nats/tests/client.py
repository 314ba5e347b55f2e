"""Reads one message of a subject with nats-py, prints it as JSON, and publishes another one to the same subject."""

import asyncio
import base64
import json
import sys

import nats

URL, STREAM, SUBJECT = sys.argv[1:]


async def main():
    client = await nats.connect(URL)
    stream = client.jetstream()
    reader = await stream.pull_subscribe(SUBJECT, stream=STREAM)
    [message] = await reader.fetch(1, timeout=10)
    await message.ack()
    print(json.dumps({"headers": message.headers, "body": base64.b64encode(message.data).decode()}))
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "from-python-1",
        "ce-source": "python",
        "ce-type": "orders.placed",
        "ce-partitionkey": "order/17%20%C3%BC",
        "ce-time": "2026-11-28T10:00:00Z",
        "ce-tenant": "north",
        "content-type": "application/json",
        "x-shop": "Z%C3%BCrich",
        "Nats-Msg-Id": "from-python-1",
    }
    for _ in range(2):
        await stream.publish(SUBJECT, b'{"total": 3}', headers=headers)
    await client.close()


asyncio.run(main())
