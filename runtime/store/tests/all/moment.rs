//! Moments of a partition: what is read at leisure is what was there at once, whatever is written
//! meanwhile.

use bytes::Bytes;
use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, Offset, PartitionId, Position, StoredProgress, TopicId,
};
use gristmill_store::{Change, Cleared, Moment, Scope, changelog};

use crate::changelog::check_same;
use crate::model;
use crate::world::{Random, START, World};

/// Changes of each kind that may be among others.
fn some(random: &mut Random, scope: Scope, first: u64) -> Vec<Change> {
    let change = |random: &mut Random, number: u64| match number % 6 {
        0 | 1 => Change::StateSet {
            scope,
            key: model::bytes(random, 2),
            name: format!("n{}", random.below(3)),
            value: model::bytes(random, 8),
            expires: number.is_multiple_of(12).then_some(Instant(START + 20_000)),
        },
        2 => Change::StateDelete {
            scope,
            key: model::bytes(random, 1),
            name: format!("n{}", random.below(3)),
        },
        3 => Change::TimerSet { scope, record: model::timer(random) },
        4 => {
            let record = model::parked(random, scope, number);
            Change::ParkedPut { scope, lane: KeyHash(u128::from(random.below(3))), record }
        }
        _ => {
            let (topic, partition) = (TopicId(1), scope.partition);
            let position = Position { topic, partition, offset: Offset(number) };
            let id = IdHash(u128::from(random.below(50)));
            let mark = Mark { position, epoch: 0 };
            Change::MarkSet { scope, id, mark, at: Instant(START + number) }
        }
    };
    let mut changes: Vec<Change> =
        (first..first + 300).map(|number| change(random, number)).collect();
    let progress = StoredProgress {
        incarnation: 1,
        epoch: 0,
        epoch_start: Offset(0),
        next: Offset(first),
        finished: Vec::new(),
    };
    changes.push(Change::Progress { scope, topic: TopicId(1), progress });
    changes
}

/// What was read of a moment, as changes of that scope.
fn read(moment: &Moment, scope: Scope) -> Vec<Change> {
    let mut changes = Vec::new();
    let put = |entry: changelog::Entry| {
        changes.extend(changelog::decode(scope, &entry.key, entry.value)?);
        Ok(())
    };
    moment.read(Instant(START), put).expect("reads");
    changes
}

#[test]
fn a_moment_is_what_was_there_whatever_is_written_later() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let (world, alone, restored) = (World::new(), World::new(), World::new());
        let scope = world.scope("s", 4);
        let (alone_scope, other) = (alone.scope("s", 4), restored.scope("other", 4));
        assert_eq!(alone_scope, scope, "both are the first");
        let before = some(&mut random, scope, 0);
        world.changes(before.clone());
        alone.changes(before);
        let moment = world.store().moment(scope);
        world.changes(some(&mut random, scope, 1_000));
        restored.changes(read(&moment, other));
        assert!(moment.is_whole(), "seed {seed}");
        check_same((&alone, scope), (&restored, other), &format!("seed {seed}"));
    }
}

#[test]
fn what_is_in_a_moment_is_counted_and_what_has_expired_is_not_in_it() {
    let world = World::new();
    let scope = world.scope("s", 0);
    let value = |name: &str, expires: u64| Change::StateSet {
        scope,
        key: Bytes::from_static(b"k"),
        name: name.to_owned(),
        value: Bytes::from_static(b"v"),
        expires: Some(Instant(START + expires)),
    };
    let timer = Change::TimerSet { scope, record: model::timer(&mut Random::new(1)) };
    world.changes(vec![value("gone", 10), value("there", 11), timer]);
    let moment = world.store().moment(scope);
    let mut entries: u64 = 0;
    let counted = moment.read(Instant(START + 10), |_| {
        entries += 1;
        Ok(())
    });
    let counted = counted.expect("reads");
    assert_eq!((counted.values, counted.timers, counted.parked, entries), (1, 1, 0, 2));
    let nothing = world.store().moment(world.scope("nobody", 0));
    assert_eq!(read(&nothing, scope).len(), 0);
    assert!(nothing.is_whole());
}

#[test]
fn a_moment_whose_scope_was_cleared_or_given_another_state_is_not_whole() {
    for is_moved in [false, true] {
        let world = World::new();
        let (scope, beside) = (world.scope("s", 4), world.scope("beside", 4));
        world.changes(some(&mut Random::new(1), scope, 0));
        world.changes(some(&mut Random::new(2), beside, 0));
        let (moment, others) = (world.store().moment(scope), world.store().moment(beside));
        world.change(if is_moved {
            Change::StateMove { from: beside, to: scope }
        } else {
            let (subscription, partition) = (scope.subscription, Some(PartitionId(4)));
            let what = Cleared { state: true, ..Cleared::default() };
            Change::SubscriptionClear { subscription, partition, what }
        });
        assert!(!moment.is_whole(), "moved: {is_moved}");
        assert_eq!(others.is_whole(), !is_moved);
    }
}
