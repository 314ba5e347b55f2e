"""Reads one message of a topic with confluent-kafka, prints it as JSON, publishes another one, and then keys without a partition,
of which it prints the partitions."""

import base64
import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition

HOSTS, TOPIC, PARTITIONS = sys.argv[1:]

consumer = Consumer({"bootstrap.servers": HOSTS, "group.id": "python", "enable.auto.commit": False})
consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(int(PARTITIONS))])
message = consumer.poll(20)
assert message is not None and message.error() is None, message
read = {
    "key": message.key().decode(),
    "partition": message.partition(),
    "headers": {name: value.decode() for name, value in message.headers()},
    "body": base64.b64encode(message.value()).decode(),
}
consumer.close()

producer = Producer({"bootstrap.servers": HOSTS, "partitioner": "murmur2_random"})
headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"from-python-1"),
    ("ce_source", b"python"),
    ("ce_type", b"orders.placed"),
    ("ce_time", b"2026-11-28T10:00:00Z"),
    ("ce_tenant", b"north"),
    ("content-type", b"application/json"),
    ("x-shop", "Zürich".encode()),
]
producer.produce(TOPIC, b'{"total": 3}', key="order/17 ü".encode(), headers=headers)
producer.flush(20)

partitions = {}


def delivered(error, message):
    assert error is None, error
    partitions[message.key().decode()] = message.partition()


for number in range(500):
    producer.produce(TOPIC, b"{}", key=f"kündin-{number}".encode(), on_delivery=delivered)
producer.flush(20)
print(json.dumps({"read": read, "partitions": partitions}))
