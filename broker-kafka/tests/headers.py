"""Publishes a message with a header whose name is not UTF-8. Only the library in C can do that."""

import ctypes
import glob
import os
import sys

import confluent_kafka

HOSTS, TOPIC = (argument.encode() for argument in sys.argv[1:])
TOPIC_OF, VALUE, KEY, FLAGS, HEADER, END, COPY = 1, 4, 5, 7, 9, 0, 2

packages = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
library = ctypes.CDLL(glob.glob(os.path.join(packages, "confluent_kafka.libs", "librdkafka*"))[0])
library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
reason = ctypes.create_string_buffer(512)
settings = ctypes.c_void_p(library.rd_kafka_conf_new())
assert library.rd_kafka_conf_set(settings, b"bootstrap.servers", HOSTS, reason, ctypes.c_size_t(512)) == 0, reason.value
producer = ctypes.c_void_p(library.rd_kafka_new(0, settings, reason, ctypes.c_size_t(512)))
assert producer, reason.value


def sized(text):
    return ctypes.c_char_p(text), ctypes.c_size_t(len(text))


failed = library.rd_kafka_producev(
    producer, TOPIC_OF, ctypes.c_char_p(TOPIC), FLAGS, COPY, KEY, *sized(b"key"), VALUE, *sized(b"{}"),
    HEADER, ctypes.c_char_p(b"gr\xf6\xdfe"), *sized(b"12"), END,
)
assert failed == 0, failed
assert library.rd_kafka_flush(producer, 20000) == 0
