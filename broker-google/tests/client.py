"""Reads one message of a subscription with google-cloud-pubsub, prints it as JSON, and publishes another one to the topic."""

import base64
import json
import sys

from google.cloud import pubsub_v1

# The address of the server is in PUBSUB_EMULATOR_HOST.
TOPIC, SUBSCRIPTION = sys.argv[1:]

subscriber = pubsub_v1.SubscriberClient()
[received] = subscriber.pull(subscription=SUBSCRIPTION, max_messages=1, timeout=30).received_messages
subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[received.ack_id])
message = received.message
print(
    json.dumps(
        {
            "attributes": dict(message.attributes),
            "ordering_key": message.ordering_key,
            "body": base64.b64encode(message.data).decode(),
        }
    )
)
publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=3), pubsub_v1.types.PublisherOptions(True))
for number in range(3):
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": f"from-python-{number}",
        "ce-source": "python",
        "ce-type": "orders.placed",
        "ce-partitionkey": "order/17 ü",
        "ce-time": "2026-11-28T10:00:00Z",
        "ce-tenant": "north",
        "content-type": "application/json",
        "x-shop": "Zürich",
    }
    body = json.dumps({"total": number}).encode()
    sent = publisher.publish(TOPIC, body, ordering_key="order/17 ü", **attributes)
sent.result(30)
