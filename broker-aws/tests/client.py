"""A program without recount: reads a message from a queue, and publishes one to a topic, or to a queue."""

import json
import sys

import boto3

endpoint, topic, queue = sys.argv[1:4]
access = dict(endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
sqs = boto3.client("sqs", **access)

url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
received = sqs.receive_message(
    QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=10, AttributeNames=["All"], MessageAttributeNames=["All"]
)["Messages"][0]
sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])

event = {
    "specversion": "1.0",
    "id": "from-python-1",
    "source": "python",
    "type": "orders.placed",
    "partitionkey": "order/17",
    "time": "2026-11-28T10:00:00Z",
    "tenant": "north",
    "datacontenttype": "application/json",
    "data": {"total": 3, "city": "Zürich"},
}
body = json.dumps(event, ensure_ascii=False)
attributes = {"type": {"DataType": "String", "StringValue": event["type"]}}
ids = dict(MessageGroupId=event["partitionkey"], MessageDeduplicationId="python/from-python-1")
for _ in range(2):
    if topic:
        boto3.client("sns", **access).publish(TopicArn=topic, Message=body, MessageAttributes=attributes, **ids)
    else:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes, **ids)

print(json.dumps({
    "event": json.loads(received["Body"]),
    "group": received["Attributes"]["MessageGroupId"],
    "dedupe": received["Attributes"]["MessageDeduplicationId"],
    "attributes": {name: value["StringValue"] for name, value in received["MessageAttributes"].items()},
}))
