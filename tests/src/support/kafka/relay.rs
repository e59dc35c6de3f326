//! Owns a relay before a broker that passes everything on a little later, as a network would. It
//! looks at nothing, and loses nothing; a connection ends on both sides when it ends on one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Bytes passed on at once.
const CHUNK: usize = 64 * 1024;
/// Chunks of one direction on their way: more than a fast network holds in the delays of tests.
const CHUNKS_MAX: usize = 1_024;

/// Relays connections to `listener` to a port of this machine, each direction `delay` later, as
/// long as this process lives.
pub(super) fn start(listener: TcpListener, port: u16, delay: Duration) -> Result<()> {
    let builder = thread::Builder::new().name("relay".to_owned());
    builder.spawn(move || {
        for near in listener.incoming().flatten() {
            // A broker that is down refuses; so does its relay, by closing.
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            drop(connect(&near, &far, delay));
        }
    })?;
    Ok(())
}

fn connect(near: &TcpStream, far: &TcpStream, delay: Duration) -> Result<()> {
    for stream in [near, far] {
        stream.set_nodelay(true)?;
    }
    for (from, to) in [(near, far), (far, near)] {
        let (sender, receiver) = sync_channel(CHUNKS_MAX);
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let name = || thread::Builder::new().name("relay".to_owned());
        name().spawn(move || take(from, &sender, delay)).context("start a thread")?;
        name().spawn(move || give(to, &receiver)).context("start a thread")?;
    }
    Ok(())
}

fn take(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let chunk = buffer.get(..length).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + delay, chunk)).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, chunk)) = receiver.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&chunk).is_err() {
            break;
        }
    }
    // Closed already, where that is what ended it.
    drop(to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_two_delays_later_and_an_end_is_passed_on() {
        let delay = Duration::from_millis(20);
        let echo = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = echo.local_addr().unwrap().port();
        let relay = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = relay.local_addr().unwrap();
        start(relay, port, delay).unwrap();
        let mut near = TcpStream::connect(address).unwrap();
        let (mut far, _) = echo.accept().unwrap();
        let began = Instant::now();
        near.write_all(b"ping").unwrap();
        let mut heard = [0; 4];
        far.read_exact(&mut heard).unwrap();
        far.write_all(&heard).unwrap();
        near.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"ping");
        assert!(began.elapsed() >= delay * 2, "{:?}", began.elapsed());
        drop(far);
        assert_eq!(near.read(&mut heard).unwrap(), 0);
    }
}
