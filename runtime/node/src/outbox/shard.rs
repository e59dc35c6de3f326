//! Works on one shard of a table as long as this host holds it: claims rows, publishes them, marks
//! them. Whatever fails, it begins anew: with what was published last, which is marked first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use gristmill_outbox::{Parked, Row, Session};
use gristmill_store::Append;
use tokio::sync::watch;

use super::event::{Misfit, Unfit, event};
use super::publisher::{Published, Publisher};
use super::relay::{Pause, Relay};
use super::state::{Held, Trouble};

/// First pause after nothing was found; it doubles up to `poll`.
const IDLE: Duration = Duration::from_millis(10);
/// Time between two looks at what is parked.
const REVIEW: Duration = Duration::from_secs(1);
/// Rows of a shard that may be parked. With more, it stops until some are gone.
const PARKED_MAX: u32 = 10_000;
/// Bytes of payloads claimed at once, as far as the batch before tells.
const BATCH_BYTES: usize = 8 << 20;

/// Works until told to stop, or until another host has the shard.
pub(super) async fn run(relay: Arc<Relay>, shard: u32, mut stopping: watch::Receiver<bool>) {
    let mut pause = Pause::default();
    while !*stopping.borrow() {
        let Err(trouble) = work(&relay, shard, &mut stopping, &mut pause).await else { break };
        relay.state().shards.remove(&shard);
        relay.trouble(Some(shard), trouble);
        pause.wait(&mut stopping).await;
    }
    relay.well(Some(shard));
    let mut state = relay.state();
    state.shards.remove(&shard);
    state.parked.retain(|_, held| held.shard != shard);
}

async fn work(
    relay: &Relay,
    shard: u32,
    stopping: &mut watch::Receiver<bool>,
    pause: &mut Pause,
) -> Result<(), Trouble> {
    let session = relay.database.session().await?;
    if !session.hold(shard).await? {
        return Ok(());
    }
    let publisher = tokio::select! {
        opened = Publisher::open(relay, shard) => opened?,
        _stop = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    let limit = relay.config.batch;
    let holder = Holder {
        relay,
        shard,
        session,
        publisher,
        behind: BTreeSet::new(),
        reviewed: None,
        limit,
        turn: 0,
    };
    holder.work(stopping, pause).await
}

/// Who has a shard.
struct Holder<'a> {
    relay: &'a Relay,
    shard: u32,
    session: Session,
    publisher: Publisher,
    /// Aggregates that are left out until the next pause: somebody has a row of theirs locked.
    behind: BTreeSet<String>,
    /// When it last looked at what is parked.
    reviewed: Option<Moment>,
    /// Rows claimed at once.
    limit: u32,
    turn: u64,
}

/// What a round came to.
#[derive(Debug)]
enum Round {
    /// There may be more at once.
    Busy,
    /// There was nothing.
    Idle,
    /// It came to nothing, and is to be tried again.
    Later(Trouble),
}

/// Rows that can be published, and those that cannot.
#[derive(Default)]
struct Batch {
    ids: Vec<String>,
    events: Vec<Append>,
    /// Of each event: its aggregate, and its topic.
    of: Vec<(String, String)>,
    misfits: BTreeMap<String, (String, Misfit)>,
}

impl Holder<'_> {
    async fn work(
        mut self,
        stopping: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> Result<(), Trouble> {
        let worked = self.rounds(stopping, pause).await;
        self.publisher.close().await;
        worked
    }

    async fn rounds(
        &mut self,
        stopping: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> Result<(), Trouble> {
        self.settle().await?;
        self.relay.state().shards.insert(self.shard);
        let most = Duration::from_millis(self.relay.config.poll.0);
        let mut idle = IDLE.min(most);
        while !*stopping.borrow() {
            // Asked for before the table is looked at: what comes after that look is heard.
            let news = self.relay.database.news();
            tokio::pin!(news);
            news.as_mut().enable();
            self.review().await?;
            let round = self.round().await?;
            if let Round::Later(trouble) = round {
                self.relay.trouble(Some(self.shard), trouble);
                pause.wait(stopping).await;
                // What became of the batch is remembered, or it did not become anything.
                self.settle().await?;
                continue;
            }
            self.relay.well(Some(self.shard));
            *pause = Pause::default();
            if matches!(round, Round::Busy) {
                idle = IDLE.min(most);
                continue;
            }
            self.behind.clear();
            tokio::select! {
                () = tokio::time::sleep(idle) => idle = idle.saturating_mul(2).min(most),
                () = news => idle = IDLE.min(most),
                _stop = stopping.wait_for(|stop| *stop) => {}
            }
        }
        Ok(())
    }

    /// What was published last is marked before anything else is published.
    async fn settle(&self) -> Result<(), Trouble> {
        let ids = self.publisher.recall().await?;
        let marked = self.session.mark(&ids).await?;
        if marked > 0 {
            let (outbox, shard) = (&self.relay.name, self.shard);
            tracing::info!(outbox, shard, rows = marked, "rows were published already; marked");
        }
        Ok(())
    }

    /// Looks at what is parked: operators mend rows, and let them be retried.
    async fn review(&mut self) -> Result<(), Trouble> {
        if self.reviewed.is_some_and(|at| at.elapsed() < REVIEW) {
            return Ok(());
        }
        if !self.session.writes_reasons() {
            let known = self.parked(|id, _| id.to_owned());
            let still = self.session.still(&known).await?;
            let is_left = |id: &String, held: &mut Held| {
                held.shard != self.shard || still.contains(id) || !known.contains(id)
            };
            self.relay.state().parked.retain(is_left);
            self.reviewed = Some(Moment::now());
            return Ok(());
        }
        let found = self.session.parked(Some(self.shard), PARKED_MAX).await?;
        let parked = found.into_iter().map(|Parked { id, aggregate, reason }| {
            let misfit = Misfit::from_text(&reason);
            (id, Held { shard: self.shard, aggregate, misfit })
        });
        let mut state = self.relay.state();
        state.parked.retain(|_, held| held.shard != self.shard);
        state.parked.extend(parked);
        drop(state);
        self.reviewed = Some(Moment::now());
        Ok(())
    }

    /// One batch, from its claim to its mark.
    async fn round(&mut self) -> Result<Round, Trouble> {
        let without = self.parked(|_, held| held.aggregate.clone());
        let is_full = without.len() >= usize::try_from(PARKED_MAX).unwrap_or(usize::MAX);
        if is_full || (self.relay.config.stops && !without.is_empty()) {
            return Ok(Round::Idle);
        }
        let mut without: BTreeSet<String> = without.into_iter().collect();
        without.extend(self.behind.iter().cloned());
        let without: Vec<String> = without.into_iter().collect();
        let claimed = self.session.claim(self.shard, self.limit, &without).await?;
        if claimed.rows.is_empty() {
            self.session.roll_back().await?;
            let round = if claimed.held.is_empty() { Round::Idle } else { Round::Busy };
            self.behind.extend(claimed.held);
            return Ok(round);
        }
        self.size(&claimed.rows);
        let batch = match self.batch(&claimed.rows).await {
            Ok(batch) => batch,
            Err(trouble) => {
                self.session.roll_back().await?;
                return Ok(Round::Later(trouble));
            }
        };
        self.behind.clear();
        self.publish(batch).await
    }

    /// Publishes a batch, and marks its rows.
    async fn publish(&mut self, mut batch: Batch) -> Result<Round, Trouble> {
        let events = std::mem::take(&mut batch.events);
        let published = if events.is_empty() {
            Published::Done
        } else {
            self.publisher.publish(events, &batch.ids).await
        };
        match published {
            Published::Done => {
                self.session.mark(&batch.ids).await?;
                self.park(&batch.misfits).await?;
                self.session.commit().await?;
                self.count(&batch);
                Ok(Round::Busy)
            }
            Published::Unknown(trouble) => {
                self.session.roll_back().await?;
                Ok(Round::Later(trouble))
            }
            Published::Over(trouble) => Err(trouble),
            Published::Undeliverable(place, error) => {
                let (code, reason) = (error.code(), crate::error::chain(&error));
                if let Some((id, (aggregate, _))) = batch.ids.get(place).zip(batch.of.get(place)) {
                    let misfit = Misfit::new(code, reason);
                    batch.misfits.insert(id.clone(), (aggregate.clone(), misfit));
                }
                // The rest is claimed again: since the refusal, the shard may be another's.
                self.park(&batch.misfits).await?;
                self.session.commit().await?;
                Ok(Round::Busy)
            }
        }
    }

    /// What of claimed rows can be published: of an aggregate, none after one that cannot.
    async fn batch(&mut self, rows: &[Row]) -> Result<Batch, Trouble> {
        let mut batch = Batch::default();
        let mut barred: BTreeSet<&str> = BTreeSet::new();
        for row in rows {
            if barred.contains(row.aggregate.as_str()) {
                continue;
            }
            self.turn = self.turn.wrapping_add(1);
            match event(self.relay, row, self.turn).await {
                Ok((event, topic)) => {
                    batch.ids.push(row.id.clone());
                    batch.events.push(event);
                    batch.of.push((row.aggregate.clone(), topic.to_string()));
                }
                Err(Unfit::Misfit(misfit)) => {
                    barred.insert(&row.aggregate);
                    batch.misfits.insert(row.id.clone(), (row.aggregate.clone(), misfit));
                    if self.relay.config.stops {
                        break;
                    }
                }
                Err(Unfit::Later(trouble)) => return Err(trouble),
            }
        }
        Ok(batch)
    }

    /// Sets rows aside, and says so.
    async fn park(&self, misfits: &BTreeMap<String, (String, Misfit)>) -> Result<(), Trouble> {
        for (id, (aggregate, misfit)) in misfits {
            self.session.park(id, &misfit.to_text()).await?;
            let held =
                Held { shard: self.shard, aggregate: aggregate.clone(), misfit: misfit.clone() };
            let is_new = self.relay.state().parked.insert(id.clone(), held).is_none();
            if is_new {
                let (code, reason, outbox) = (&misfit.code, &misfit.reason, &self.relay.name);
                tracing::error!(
                    code,
                    outbox,
                    row = id,
                    reason,
                    "a row cannot be published; it is \
                    parked, and what follows it under its key waits"
                );
            }
        }
        Ok(())
    }

    fn count(&self, batch: &Batch) {
        let shared = self.relay.host.shared();
        let rows = u64::try_from(batch.ids.len()).unwrap_or(u64::MAX);
        shared.metrics.outbox_published(&self.relay.name, rows);
        if shared.config.telemetry.counts_published() {
            for (_, topic) in &batch.of {
                shared.metrics.published(topic, &shared.config.name, 1);
            }
        }
    }

    /// Claims less at once where rows are large.
    fn size(&mut self, rows: &[Row]) {
        let bytes: usize = rows.iter().filter_map(|row| row.payload.as_ref()).map(Vec::len).sum();
        let each = bytes.checked_div(rows.len()).unwrap_or(0).max(1);
        let fitting = u32::try_from(BATCH_BYTES / each).unwrap_or(u32::MAX);
        self.limit = fitting.clamp(1, self.relay.config.batch.max(1));
    }

    /// What is known of this shard's rows that are parked.
    fn parked<T>(&self, of: impl Fn(&str, &Held) -> T) -> Vec<T> {
        let state = self.relay.state();
        let own = state.parked.iter().filter(|(_, held)| held.shard == self.shard);
        own.map(|(id, held)| of(id, held)).collect()
    }
}
