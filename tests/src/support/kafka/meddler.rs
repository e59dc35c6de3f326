//! Owns a relay before a broker that meddles: it loses answers, falls silent, has requests come
//! late, and cuts connections. It knows frames and the kinds of requests, and nothing of records.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::support::random::Random;

/// Largest frame of the protocol here; none of the tests' is nearly as large.
const FRAME_MAX: usize = 128 << 20;
/// How long a silent connection is silent: longer than a host waits for the end of a transaction.
const SILENCE: Duration = Duration::from_secs(7);
/// Longest delay of a request that comes late, in milliseconds: others have gone on by then.
const LATE_MAX: u64 = 15_000;
/// Longest delay of one that is slow, in milliseconds.
const SLOW_MAX: u64 = 500;
/// Number of the request by which a transaction ends (source: the protocol, `EndTxn`).
const END_TXN: i16 = 26;
/// From this version on its body ends with tagged fields (source: the protocol).
const END_TXN_FLEXIBLE: i16 = 3;

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is passed on; its answer is lost, and the connection with it.
    AnswerLost,
    /// It is passed on; nothing comes back for seconds, and then the connection ends.
    Silence,
    /// The connection ends; the request comes to the broker seconds later.
    Late,
    /// The connection ends, and the request is lost.
    Cut,
    /// It and all that follow it on its connection come a little later.
    Slow,
}

/// Shares in a thousand of requests that something is done to.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Of those by which a transaction is committed: an answer lost, a silence, a late request.
    pub ends: u64,
    /// Of all others: any fault.
    pub others: u64,
}

/// What was done: to requests that commit a transaction, and to others.
#[derive(Debug, Default, Clone)]
pub struct Done {
    /// By fault. Nobody who asked can know what became of the commit.
    pub commits: BTreeMap<Fault, u64>,
    /// By fault.
    pub others: BTreeMap<Fault, u64>,
}

/// The relay. It ends with the process; until [`Meddler::meddle`] it passes everything on.
#[derive(Debug, Clone)]
pub struct Meddler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    port: u16,
}

#[derive(Debug)]
struct State {
    rates: Option<Rates>,
    random: Random,
    done: Done,
}

impl Fault {
    /// Its name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::AnswerLost => "answer lost",
            Self::Silence => "silence",
            Self::Late => "late",
            Self::Cut => "cut",
            Self::Slow => "slow",
        }
    }
}

impl Meddler {
    /// Relays connections to `listener` to a port of this machine.
    pub(super) fn start(listener: TcpListener, port: u16, seed: u64) -> Result<Self> {
        let state = State { rates: None, random: Random::new(seed), done: Done::default() };
        let meddler = Self(Arc::new(Shared { state: Mutex::new(state), port }));
        let own = meddler.clone();
        let builder = thread::Builder::new().name("meddler".to_owned());
        builder.spawn(move || {
            for near in listener.incoming().flatten() {
                // A broker that is down refuses; so does its relay, by closing.
                let Ok(far) = TcpStream::connect(("127.0.0.1", own.0.port)) else { continue };
                drop(own.connect(&near, &far));
            }
        })?;
        Ok(meddler)
    }

    /// Meddles from now on, so often; not at all with `None`.
    pub fn meddle(&self, rates: Option<Rates>) {
        self.lock().rates = rates;
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.lock().done.clone()
    }

    fn connect(&self, near: &TcpStream, far: &TcpStream) -> Result<()> {
        for stream in [near, far] {
            stream.set_nodelay(true)?;
        }
        let way = Arc::new(Mutex::new(Way::default()));
        let (own, also) = (self.clone(), Arc::clone(&way));
        let (from, to) = (near.try_clone()?, far.try_clone()?);
        let (back, again) = (far.try_clone()?, near.try_clone()?);
        let name = || thread::Builder::new().name("meddler".to_owned());
        name().spawn(move || own.requests((from, to), &also)).context("start a thread")?;
        name().spawn(move || answers((back, again), &way)).context("start a thread")?;
        Ok(())
    }

    /// Passes requests on, or does something to them.
    fn requests(&self, (mut from, mut to): (TcpStream, TcpStream), way: &Mutex<Way>) {
        while let Ok(frame) = take(&mut from) {
            let request = Request::of(&frame);
            let fault = self.decide(request);
            let mut passes_on = true;
            match fault {
                Some(Fault::AnswerLost) => drop(lock(way).lost.insert(request.correlation)),
                Some(Fault::Silence) => lock(way).is_silent = true,
                Some(Fault::Late) => {
                    lock(way).late = Some(request.correlation);
                    // It may be closed already.
                    drop(from.shutdown(Shutdown::Both));
                    self.pause(LATE_MAX);
                }
                Some(Fault::Cut) => passes_on = false,
                Some(Fault::Slow) => self.pause(SLOW_MAX),
                None => {}
            }
            if passes_on && give(&mut to, &frame).is_err() {
                break;
            }
            if let Some(fault) = fault {
                self.note(request, fault);
            }
            match fault {
                // Its answer shows that it was taken, and ends the connection.
                Some(Fault::Late) => return,
                Some(Fault::Cut) => break,
                Some(Fault::AnswerLost | Fault::Silence | Fault::Slow) | None => {}
            }
        }
        close(&from, &to);
    }

    /// What is to be done to a request.
    fn decide(&self, request: Request) -> Option<Fault> {
        let mut state = self.lock();
        let rates = state.rates?;
        let rate = if request.commits { rates.ends } else { rates.others };
        if !state.random.per_mille(rate) {
            return None;
        }
        let of = if request.commits { &COMMITS[..] } else { &OTHERS[..] };
        let last = u64::try_from(of.len()).unwrap_or(1) - 1;
        let at = usize::try_from(state.random.within(0..=last)).unwrap_or(0);
        of.get(at).copied()
    }

    fn note(&self, request: Request, fault: Fault) {
        let done = &mut self.lock().done;
        let of = if request.commits { &mut done.commits } else { &mut done.others };
        *of.entry(fault).or_default() += 1;
    }

    fn pause(&self, most: u64) {
        let pause = self.lock().random.within(0..=most);
        thread::sleep(Duration::from_millis(pause));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// What is done to requests that commit a transaction.
const COMMITS: [Fault; 3] = [Fault::AnswerLost, Fault::Silence, Fault::Late];
/// What is done to others.
const OTHERS: [Fault; 5] =
    [Fault::AnswerLost, Fault::Silence, Fault::Late, Fault::Cut, Fault::Slow];

/// What one connection must know of its requests.
#[derive(Debug, Default)]
struct Way {
    /// Requests whose answer is to be lost.
    lost: HashSet<i32>,
    is_silent: bool,
    /// The request that comes late. Nobody hears any answer any more.
    late: Option<i32>,
}

/// A request, as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Request {
    correlation: i32,
    /// Whether it commits a transaction.
    commits: bool,
}

impl Request {
    /// That of a frame: kind and version in two bytes each, then the number that its answer has.
    fn of(frame: &[u8]) -> Self {
        let short = |at: usize| {
            let bytes = frame.get(at..at + 2).and_then(|it| it.try_into().ok());
            i16::from_be_bytes(bytes.unwrap_or_default())
        };
        let (kind, version) = (short(0), short(2));
        // Whether it commits or aborts is the last byte but for an empty list of tagged fields.
        let from_end = if version >= END_TXN_FLEXIBLE { 2 } else { 1 };
        let verdict = frame.len().checked_sub(from_end).and_then(|at| frame.get(at));
        let commits = kind == END_TXN && verdict == Some(&1);
        Self { correlation: number(frame, 4), commits }
    }
}

/// Passes answers on, but for those that are to be lost.
fn answers((mut from, mut to): (TcpStream, TcpStream), way: &Mutex<Way>) {
    while let Ok(frame) = take(&mut from) {
        let correlation = number(&frame, 0);
        let (is_lost, is_silent, late) = {
            let way = lock(way);
            (way.lost.contains(&correlation), way.is_silent, way.late)
        };
        match late {
            Some(late) if late == correlation => break,
            Some(_) => continue,
            None => {}
        }
        if is_silent {
            thread::sleep(SILENCE);
            break;
        }
        if is_lost || give(&mut to, &frame).is_err() {
            break;
        }
    }
    close(&from, &to);
}

/// One frame: its length in four bytes, and so many more.
fn take(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn give(to: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(|_large| io::ErrorKind::InvalidData)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat())
}

/// The number at `at` of a frame.
fn number(frame: &[u8], at: usize) -> i32 {
    let bytes = frame.get(at..at + 4).and_then(|it| it.try_into().ok());
    i32::from_be_bytes(bytes.unwrap_or_default())
}

fn close(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        // Closed already, where that is what ended it.
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::wait;

    /// A request of this kind, whose body is its verdict.
    fn request(kind: i16, correlation: i32, commits: bool) -> Vec<u8> {
        let mut frame = [kind.to_be_bytes(), 1_i16.to_be_bytes()].concat();
        frame.extend(correlation.to_be_bytes());
        frame.push(u8::from(commits));
        frame
    }

    /// A broker that answers each request with its number alone, and its end of the way there.
    fn broker() -> (Meddler, TcpStream, TcpStream) {
        let listener = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (broker, relay) = (listener(), listener());
        let address = relay.local_addr().unwrap();
        let meddler = Meddler::start(relay, broker.local_addr().unwrap().port(), 7).unwrap();
        let near = TcpStream::connect(address).unwrap();
        (meddler, near, broker.accept().unwrap().0)
    }

    fn answered(far: &mut TcpStream) -> i32 {
        let correlation = number(&take(far).unwrap(), 4);
        give(far, &correlation.to_be_bytes()).unwrap();
        correlation
    }

    #[test]
    fn until_it_meddles_everything_passes() {
        let (meddler, mut near, mut far) = broker();
        for correlation in 0..9 {
            give(&mut near, &request(END_TXN, correlation, true)).unwrap();
            assert_eq!(answered(&mut far), correlation);
            assert_eq!(number(&take(&mut near).unwrap(), 0), correlation);
        }
        assert!(meddler.done().commits.is_empty() && meddler.done().others.is_empty());
    }

    #[test]
    fn a_commit_is_passed_on_and_nobody_hears_of_it() {
        let (meddler, mut near, mut far) = broker();
        meddler.meddle(Some(Rates { ends: 1_000, others: 0 }));
        for correlation in [1, 2] {
            give(&mut near, &request(END_TXN, correlation, false)).unwrap();
            assert_eq!(answered(&mut far), correlation);
            assert_eq!(number(&take(&mut near).unwrap(), 0), correlation, "an abort is no commit");
        }
        give(&mut near, &request(END_TXN, 3, true)).unwrap();
        assert_eq!(answered(&mut far), 3);
        assert!(take(&mut near).is_err());
        let is_noted = || Ok((meddler.done().commits.values().sum::<u64>() == 1).then_some(()));
        assert!(wait::until(SILENCE, is_noted).unwrap().is_some());
        assert!(meddler.done().others.is_empty());
    }

    #[test]
    fn a_commit_is_known_by_its_kind_and_its_last_byte() {
        let is_commit = |frame: &[u8]| Request::of(frame).commits;
        assert!(is_commit(&request(END_TXN, 1, true)) && !is_commit(&request(0, 1, true)));
        let mut flexible = request(END_TXN, 1, true);
        flexible[3] = 3;
        flexible.push(0);
        assert!(is_commit(&flexible));
        assert!(!is_commit(&[]));
    }
}
