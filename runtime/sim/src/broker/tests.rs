//! Proves the simulated broker by what a real one is known to do.

use gristmill_engine::{PartitionId, TopicId};

use super::*;

const HOME: Home = (SubscriptionId(0), PartitionId(0));
const SHELF: Shelf = Shelf::Changelog(HOME);
const CURSOR: CursorId = (SubscriptionId(0), TopicId(1), PartitionId(0));

/// A broker with an initialised producer.
fn ready() -> (Broker, Producer) {
    let mut broker = Broker::default();
    let producer = initialise(&mut broker, 0);
    (broker, producer)
}

fn initialise(broker: &mut Broker, id: Id) -> Producer {
    let reply = ask(broker, Request::Initialise(id));
    let Reply::Initialised(epoch) = reply else { panic!("{reply:?}") };
    Producer { id, epoch }
}

fn ask(broker: &mut Broker, request: Request) -> Reply {
    broker.handle(Instant(0), request).reply
}

fn write(producer: Producer, sequence: u64) -> Request {
    let records = vec![Record::Entry(Key::Progress(TopicId(0)), None)];
    Request::Write { producer, to: SHELF, sequence, records }
}

fn offsets(producer: Producer, generation: u32, to: u64) -> Request {
    let offsets = vec![(CURSOR, Offset(to))];
    Request::Offsets { producer, group: HOME.0, generation: Some(generation), offsets }
}

fn tell_all(broker: &mut Broker, id: Id) {
    broker.mark(id, Target::Log(SHELF));
    broker.mark(id, Target::Group(HOME.0));
}

fn read(broker: &mut Broker) -> Vec<u64> {
    broker.log(SHELF).read(Offset(0), 100, false).iter().map(|read| read.offset.0).collect()
}

#[test]
fn what_is_written_counts_once_every_partition_is_told() {
    let (mut broker, producer) = ready();
    assert_eq!(ask(&mut broker, offsets(producer, 0, 7)), Reply::Done);
    assert_eq!(ask(&mut broker, write(producer, 1)), Reply::Written(Offset(0)));
    assert_eq!(ask(&mut broker, write(producer, 1)), Reply::Written(Offset(0)), "came twice");
    assert_eq!(ask(&mut broker, Request::End { producer, commit: true }), Reply::Done);
    assert_eq!(ask(&mut broker, write(producer, 2)), Reply::Busy);
    assert_eq!((read(&mut broker), broker.log(SHELF).stable()), (vec![], Offset(0)));
    assert_eq!(broker.committed(HOME, true), None, "unstable");
    tell_all(&mut broker, 0);
    assert_eq!((read(&mut broker), broker.log(SHELF).stable()), (vec![0], Offset(2)));
    assert_eq!(broker.committed(HOME, true), Some([(CURSOR, Offset(7))].into()));
    assert_eq!(ask(&mut broker, Request::End { producer, commit: true }), Reply::Done, "again");
}

#[test]
fn a_successor_ends_what_was_open_and_fences_what_comes_late() {
    let (mut broker, producer) = ready();
    assert_eq!(ask(&mut broker, write(producer, 1)), Reply::Written(Offset(0)));
    assert_eq!(ask(&mut broker, Request::Initialise(0)), Reply::Busy);
    tell_all(&mut broker, 0);
    let successor = initialise(&mut broker, 0);
    assert!(successor.epoch > producer.epoch);
    for late in [write(producer, 2), offsets(producer, 0, 1)] {
        assert_eq!(ask(&mut broker, late), Reply::Fenced);
    }
    assert_eq!(ask(&mut broker, Request::End { producer, commit: true }), Reply::Fenced);
    assert_eq!(read(&mut broker), Vec::<u64>::new(), "what was open was aborted");
    assert_eq!(ask(&mut broker, write(successor, 1)), Reply::Written(Offset(2)));
}

#[test]
fn a_generation_that_is_over_is_refused() {
    let (mut broker, producer) = ready();
    let generation = broker.rebalance(HOME.0);
    assert_eq!(ask(&mut broker, offsets(producer, generation - 1, 1)), Reply::Stale);
    assert_eq!(ask(&mut broker, offsets(producer, generation, 1)), Reply::Done);
}

#[test]
fn a_transaction_that_is_too_old_is_aborted_and_its_producer_fenced() {
    let (mut broker, producer) = ready();
    let began = broker.handle(Instant(0), write(producer, 1)).began.unwrap();
    let decided = broker.expire(0, began).unwrap();
    assert!(!decided.committed);
    assert_eq!(broker.expire(0, began), None, "once");
    assert_eq!(ask(&mut broker, Request::End { producer, commit: true }), Reply::Fenced);
}

#[test]
fn compaction_leaves_the_last_of_each_key_and_drops_old_deletions() {
    let (mut broker, producer) = ready();
    for sequence in 1..4 {
        ask(&mut broker, write(producer, sequence));
    }
    ask(&mut broker, Request::End { producer, commit: true });
    broker.log(SHELF).compact(Instant(0));
    tell_all(&mut broker, 0);
    assert_eq!(read(&mut broker), vec![0, 1, 2], "what was open was left alone");
    broker.log(SHELF).compact(Instant(0));
    assert_eq!(read(&mut broker), vec![2]);
    broker.log(SHELF).compact(Instant(1));
    assert_eq!(read(&mut broker), Vec::<u64>::new());
}
