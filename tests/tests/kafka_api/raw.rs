//! Clients that are not ours: what they write, leave open and join, ours must see as it is.

use std::pin::pin;
use std::ptr;
use std::task::{self, Poll, Waker};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::support::wait;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys::bindings::{rd_kafka_header_add, rd_kafka_headers_t, rd_kafka_resp_err_t};

use super::shared::PATIENCE;

/// A producer; of transactions when it has an id.
pub(crate) fn producer(bootstrap: &str, transactional: Option<&str>) -> Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("acks", "all").set("linger.ms", "0");
    if let Some(id) = transactional {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create()?;
    if transactional.is_some() {
        producer.init_transactions(PATIENCE)?;
    }
    Ok(producer)
}

/// Writes records of these payloads, and waits until they are written.
pub(crate) fn write(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    payloads: &[&str],
) -> Result<()> {
    for payload in payloads {
        let record = BaseRecord::to(topic).partition(partition).key("key").payload(*payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

/// Writes a record with everything that is unusual: headers twice, empty, null and with a name
/// that is not text; no key; no payload.
pub(crate) fn write_odd(producer: &BaseProducer, topic: &str) -> Result<()> {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "twice", value: Some("1") })
        .insert(Header { key: "twice", value: Some("2") })
        .insert(Header { key: "empty", value: Some("") })
        .insert(Header { key: "null", value: None::<&str> });
    add_strange(&headers);
    let record: BaseRecord<'_, (), ()> =
        BaseRecord::to(topic).partition(0).timestamp(1_234_567).headers(headers);
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    Ok(())
}

/// Adds a header whose name is not UTF-8, which rdkafka would not take and others send.
#[expect(unsafe_code, reason = "rdkafka takes only names that are text")]
fn add_strange(headers: &OwnedHeaders) {
    let native = ptr::from_ref(headers.as_borrowed()).cast_mut().cast::<rd_kafka_headers_t>();
    let (name, value) = (b"n\xffme", b"x");
    // SAFETY: the headers are alive and nobody else has them; name and value are copied, with
    // their lengths.
    let added =
        unsafe { rd_kafka_header_add(native, name.as_ptr().cast(), 4, value.as_ptr().cast(), 1) };
    assert_eq!(added, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
}

/// A member of a group that has its partitions.
pub(crate) fn member(bootstrap: &str, group: &str, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("client.id", "somebody")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[topic])?;
    let assigned = || {
        drop(consumer.poll(Duration::from_millis(20)));
        Ok((consumer.assignment()?.count() > 0).then_some(()))
    };
    wait::until(PATIENCE, assigned)?.context("the group gives no partitions")?;
    Ok(consumer)
}

/// Deletes the records of partition 0 before `offset`, as retention does.
pub(crate) fn delete_before(bootstrap: &str, topic: &str, offset: i64) -> Result<()> {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset(topic, 0, Offset::Offset(offset))?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    block_on(admin.delete_records(&wanted, &options))?;
    Ok(())
}

/// The outcome of a future that another thread completes.
fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, mut context) = (pin!(future), task::Context::from_waker(Waker::noop()));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::yield_now(),
        }
    }
}

/// Writes a record for each key, wherever librdkafka's `murmur2_random` puts it.
pub(crate) fn write_keys(bootstrap: &str, topic: &str, keys: &[String]) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("partitioner", "murmur2_random")
        .create()?;
    for key in keys {
        let record = BaseRecord::to(topic).key(key).payload("");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}
