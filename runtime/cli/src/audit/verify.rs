//! Verifies a trail and says what is wrong with it, chain by chain.

use std::path::PathBuf;

use serde_json::json;

use super::chain::{Break, Chains};
use super::heads::Heads;
use super::sources::{Behind, Said};
use super::trail::Place;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::remote::Client;
use crate::table::{Side, Table};

/// Breaks that are printed one by one.
const SHOWN: usize = 50;

/// What `gristmill audit verify` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Looks through the topics too: every event that they hold must be in the trail, as it is
    #[arg(long)]
    sources: bool,
    /// Ends of chains that an earlier verification saved: they must be there still
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// Saves the ends of the chains, if nothing is wrong
    #[arg(long, value_name = "FILE")]
    save_heads: Option<PathBuf>,
    /// Lets chains begin later than with their first entry, which retention may have removed
    #[arg(long)]
    begins_late: bool,
}

/// Verifies, and ends with exit code 1 where anything is wrong.
pub(super) fn run(client: &Client, args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let heads = args.heads.as_deref().map(Heads::read).transpose()?.unwrap_or_default();
    let (mut chains, mut said) = (Chains::default(), Said::default());
    args.place.each(client, |_, entry| {
        chains.follow(&entry, &heads);
        if args.sources {
            said.note(&entry);
        }
        Ok(())
    })?;
    chains.close(&heads, args.begins_late);
    let behind = if args.sources { said.compare(client, &mut chains)? } else { Behind::default() };
    let is_whole = chains.breaks.is_empty();
    output.json(&json!({
        "whole": is_whole,
        "chains": chains.by_name,
        "breaks": chains.breaks,
        "behind": behind,
    }));
    show(&chains, &behind, output);
    if !is_whole {
        return Ok(Exit::Failed);
    }
    if let Some(path) = &args.save_heads {
        let ends = chains.by_name.iter().map(|(name, chain)| (name.clone(), chain.head.clone()));
        Heads { chains: ends.collect() }.save(path)?;
        output.note(format!("the ends of the chains are in {}", path.display()));
    }
    Ok(Exit::Done)
}

fn show(chains: &Chains, behind: &Behind, output: &Output) {
    let mut table = Table::new(&[
        ("CHAIN", Side::Left),
        ("ENTRIES", Side::Right),
        ("FROM", Side::Right),
        ("TO", Side::Right),
        ("BEHIND", Side::Right),
        ("HEAD", Side::Left),
    ]);
    for (name, chain) in &chains.by_name {
        table.row([
            name.clone(),
            chain.entries.to_string(),
            chain.first_offset.to_string(),
            chain.last_offset.to_string(),
            behind.get(name).copied().unwrap_or(0).to_string(),
            chain.head.hash.clone(),
        ]);
    }
    table.print(output, "the trail has no entries");
    for Break { chain, sequence, what } in chains.breaks.iter().take(SHOWN) {
        let at = if *sequence == 0 { String::new() } else { format!(" entry {sequence}:") };
        output.line(format!("{} {chain}{at} {what}", output.paint(Style::Bad, "broken")));
    }
    let more = chains.breaks.len().saturating_sub(SHOWN);
    if more > 0 {
        output.line(format!("and {more} more"));
    }
    if chains.breaks.is_empty() && !chains.by_name.is_empty() {
        let entries: u64 = chains.by_name.values().map(|chain| chain.entries).sum();
        output.line(format!("{entries} entries in {} chains, whole", chains.by_name.len()));
    }
}
