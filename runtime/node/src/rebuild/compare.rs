//! Finds what differs between the running state of a partition and the new one, in order, without
//! holding either in memory. It changes nothing.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;
use gristmill_engine::{Instant, TimerHash};
use gristmill_store::{Change, Scope, StateEntry, Store, TimerRecord};

use super::RebuildError;
use super::report::Differs;

/// Values read in one step.
const STEP: u32 = 1_000;

/// What makes the running state the new one.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) differs: Differs,
    pub(super) list: Vec<Change>,
    /// Bytes of keys, names and values in it.
    pub(super) bytes: u64,
}

/// Values of a scope that exist at a moment, in order.
struct Values<'a> {
    store: &'a Store,
    scope: Scope,
    now: Instant,
    page: std::vec::IntoIter<StateEntry>,
    last: Option<(Bytes, String)>,
    is_over: bool,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Option<StateEntry>, RebuildError> {
        loop {
            if let Some(entry) = self.page.next() {
                self.last = Some((entry.key.clone(), entry.name.clone()));
                if entry.expires.is_none_or(|at| at > self.now) {
                    return Ok(Some(entry));
                }
                continue;
            }
            if self.is_over {
                return Ok(None);
            }
            let after = self.last.as_ref().map(|(key, name)| (&key[..], name.as_str()));
            let page = self.store.state_entries(self.scope, after, STEP)?;
            self.is_over = page.is_empty();
            self.page = page.into_iter();
        }
    }
}

/// What differs, as changes of the running scope; none of them are kept beyond `bytes_max`.
pub(super) fn compare(
    store: &Store,
    (running, new): (Scope, Scope),
    now: Instant,
    bytes_max: u64,
) -> Result<Changes, RebuildError> {
    let values = |scope| Values {
        store,
        scope,
        now,
        page: Vec::new().into_iter(),
        last: None,
        is_over: false,
    };
    let (mut olds, mut news) = (values(running), values(new));
    let mut changes = Changes::default();
    let mut keys: Option<Bytes> = None;
    let (mut old, mut fresh) = (olds.next()?, news.next()?);
    loop {
        let order = match (&old, &fresh) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => (&old.key, &old.name).cmp(&(&new.key, &new.name)),
        };
        let (was, is) = match order {
            Ordering::Less => (old.take(), None),
            Ordering::Greater => (None, fresh.take()),
            Ordering::Equal => (old.take(), fresh.take()),
        };
        if was.is_some() {
            old = olds.next()?;
        }
        if is.is_some() {
            fresh = news.next()?;
        }
        changes.value(running, (was, is), &mut keys, bytes_max);
    }
    changes.timers(store, (running, new), bytes_max)?;
    Ok(changes)
}

impl Changes {
    fn value(
        &mut self,
        scope: Scope,
        (was, is): (Option<StateEntry>, Option<StateEntry>),
        last: &mut Option<Bytes>,
        bytes_max: u64,
    ) {
        let count = |number: &mut u64| *number = number.saturating_add(1);
        let what = match (&was, &is) {
            (None, None) => return,
            (Some(was), Some(is)) if was == is => return,
            (Some(_), Some(_)) => {
                count(&mut self.differs.changed);
                "changed"
            }
            (None, Some(_)) => {
                count(&mut self.differs.added);
                "added"
            }
            (Some(_), None) => {
                count(&mut self.differs.removed);
                "removed"
            }
        };
        let Some(at) = is.as_ref().or(was.as_ref()) else { return };
        let (key, name) = (at.key.clone(), at.name.clone());
        if last.as_ref() != Some(&key) {
            count(&mut self.differs.keys);
            *last = Some(key.clone());
        }
        self.differs.note(&key, &name, what);
        let value = is.map(|it| (it.value, it.expires));
        let bytes = value.as_ref().map_or(0, |(value, _)| value.len());
        let bytes = bytes.saturating_add(key.len()).saturating_add(name.len());
        let change = match value {
            Some((value, expires)) => Change::StateSet { scope, key, name, value, expires },
            None => Change::StateDelete { scope, key, name },
        };
        self.keep(change, bytes, bytes_max);
    }

    fn keep(&mut self, change: Change, bytes: usize, bytes_max: u64) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes <= bytes_max {
            self.list.push(change);
        }
    }

    fn timers(
        &mut self,
        store: &Store,
        (running, new): (Scope, Scope),
        bytes_max: u64,
    ) -> Result<(), RebuildError> {
        let of = |scope: Scope| -> Result<BTreeSet<TimerHash>, RebuildError> {
            Ok(store.load(scope)?.timers.into_iter().map(|entry| entry.timer).collect())
        };
        let (olds, news) = (of(running)?, of(new)?);
        for timer in olds.union(&news) {
            let (was, is) = (store.timer(running, *timer)?, store.timer(new, *timer)?);
            if was.as_ref().zip(is.as_ref()).is_some_and(|(was, is)| is_same(was, is)) {
                continue;
            }
            let Some(at) = is.as_ref().or(was.as_ref()) else { continue };
            self.differs.timers = self.differs.timers.saturating_add(1);
            let what = if is.is_some() { "timer set" } else { "timer cancelled" };
            self.differs.note(&at.key, &at.name, what);
            let bytes = at.key.len().saturating_add(at.payload.len()).saturating_add(at.name.len());
            let change = match is {
                Some(record) => Change::TimerSet { scope: running, record },
                None => Change::TimerDelete { scope: running, timer: *timer },
            };
            self.keep(change, bytes, bytes_max);
        }
        Ok(())
    }
}

/// Whether two settings are one. Their numbers tell when each was made, and may differ.
pub(super) fn is_same(one: &TimerRecord, other: &TimerRecord) -> bool {
    let of = |it: &TimerRecord| (it.entry.due, it.key.clone(), it.name.clone(), it.payload.clone());
    of(one) == of(other)
}
