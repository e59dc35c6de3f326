//! Sends offsets into a transaction and waits no longer than it says: the library may wait for a
//! coordinator that is gone until that comes back, whatever time it is given (source: librdkafka's
//! issues 5456 and 5511). It decides nothing about the transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::producer::{Producer, ThreadedProducer};

use super::acknowledged::Acknowledged;
use super::{END_MAX, other};
use crate::error::{Cause, Error};
use crate::ffi::membership::{Membership, Refused};

/// Longest wait for the library to come back, which was given [`END_MAX`].
const RETURN_MAX: Duration = Duration::from_secs(8);

/// A thread that calls the library. It is left to itself, with the producer, when the library does
/// not come back: both end when it does.
#[derive(Default)]
pub(super) struct Courier {
    /// None until there is something to send, and after the thread was left.
    errands: Option<Sender<Errand>>,
}

struct Errand {
    producer: Arc<ThreadedProducer<Acknowledged>>,
    membership: Membership,
    offsets: TopicPartitionList,
    answer: Sender<Result<(), Refused>>,
}

impl Courier {
    /// Sends offsets into the open transaction of `producer`.
    ///
    /// # Errors
    ///
    /// When the library does not come back, or there is no thread: the producer is uncertain then.
    pub(super) fn send(
        &mut self,
        producer: &Arc<ThreadedProducer<Acknowledged>>,
        membership: Membership,
        offsets: TopicPartitionList,
    ) -> Result<Result<(), Refused>, Error> {
        let (answer, answered) = channel();
        let errand = Errand { producer: Arc::clone(producer), membership, offsets, answer };
        let errands = match self.errands.take() {
            Some(errands) => errands,
            None => start()?,
        };
        // Where nobody takes it, nobody answers either.
        drop(errands.send(errand));
        let Ok(sent) = answered.recv_timeout(RETURN_MAX) else {
            let source =
                Cause::new(format!("the client library does not answer in {RETURN_MAX:?}"));
            return Err(Error::Unavailable { doing: "send offsets".to_owned(), source });
        };
        self.errands = Some(errands);
        Ok(sent)
    }
}

fn start() -> Result<Sender<Errand>, Error> {
    let (errands, taken) = channel();
    thread::Builder::new()
        .name("kafka-offsets".to_owned())
        .spawn(move || run(&taken))
        .map_err(|error| other("start a thread that sends offsets", error.to_string()))?;
    Ok(errands)
}

fn run(errands: &Receiver<Errand>) {
    while let Ok(Errand { producer, membership, offsets, answer }) = errands.recv() {
        let sent = membership.send_offsets(producer.client().native_ptr(), &offsets, END_MAX);
        // Whoever waits may be about to end it.
        drop(producer);
        // Nobody waits any more when it took too long.
        drop(answer.send(sent));
    }
}
