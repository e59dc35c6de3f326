//! Hosts that die in the middle of transactions while they share the work.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::Writer;
use gristmill_tests::support::wait;

use super::pair::{PATIENCE, Pair, Told, end, replication, report};

/// The topic that is copied.
const ORDERS: (&str, u32) = ("orders", 6);
/// Records written between two looks whether a host has died.
const AT_ONCE: u64 = 60;
/// Time for a look.
const LOOK: Duration = Duration::from_millis(20);

#[test]
fn every_record_is_copied_once_and_in_order_however_hosts_are_killed() -> Result<()> {
    let pair = Pair::start()?;
    let tables = format!(
        "[topics.orders]\npartitions = {}\n{}",
        ORDERS.1,
        replication("west", ("east", "west", &pair.west), "[\"orders\"]")
    );
    let homes =
        [Pair::home(&pair.east, "east", &tables)?, Pair::home(&pair.east, "east", &tables)?];
    let (mut told, mut writer) = (Told::default(), pair.east.writer()?);
    let mut one = dies(&homes[0], "begun:4")?;
    let mut other = dies(&homes[1], "written:4")?;
    // Each dies in a transaction of its own: copying is under way.
    write_until_dead(&mut told, &mut writer, &mut one)?;
    write_until_dead(&mut told, &mut writer, &mut other)?;
    let mut one = dies(&homes[0], "committed:3")?;
    let mut other = homes[1].start(&[])?;
    let staying = other.must_be_ready()?;
    write_until_dead(&mut told, &mut writer, &mut one)?;
    let mut one = homes[0].start(&[])?;
    let joining = one.must_be_ready()?;
    told.write(&mut writer, ORDERS, 2_000)?;
    writer.finish()?;
    told.hold(&pair.west, ("orders", "orders"), "east")?;
    let shared = wait::until(PATIENCE, || {
        let held = |client| Ok::<_, anyhow::Error>(report(client, "west")?["slots_held"].as_u64());
        Ok((held(&staying)? > Some(0) && held(&joining)? > Some(0)).then_some(()))
    })?;
    shared.context("one of the hosts has no share of the work")?;
    end(&homes[0], one, &[])?;
    end(&homes[1], other, &[])?;
    told.hold(&pair.west, ("orders", "orders"), "east")
}

/// Starts a host that ends itself at that step.
fn dies(home: &Home, at: &str) -> Result<Process> {
    let mut host = home.start(&[("GRISTMILL_FAILPOINT", at.to_owned())])?;
    host.listens()?;
    Ok(host)
}

fn write_until_dead(told: &mut Told, writer: &mut Writer, host: &mut Process) -> Result<()> {
    let died = wait::until(PATIENCE, || {
        told.write(writer, ORDERS, AT_ONCE)?;
        host.ended(LOOK)
    })?;
    died.map(drop).with_context(|| format!("the host lives on:\n{}", host.tail()))
}
