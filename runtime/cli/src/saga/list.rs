//! Lists the sagas of a subscription.

use serde_json::json;

use super::kept::{Lane, PREFIX, Saga};
use crate::answer::{list, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};
use crate::table::{Side, Table};

/// What `gristmill saga list` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The orchestrator's subscription
    subscription: String,
    /// Only those at this stage: running, compensating, completed, compensated or stuck
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Only those whose key begins so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Sagas shown at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
}

/// Prints the list.
pub(super) fn run(client: &Client, args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let mut sagas = Vec::new();
    let mut look = Look { after: None, is_over: false, elsewhere: Vec::new() };
    while sagas.len() < args.limit && !look.is_over {
        for key in look.keys(client, args)? {
            let lane = Lane { subscription: args.subscription.clone(), key, id: None };
            let found = lane.sagas(client)?;
            let is_wanted = |saga: &Saga| args.stage.as_ref().is_none_or(|it| *it == saga.stage);
            sagas.extend(found.into_iter().filter(is_wanted).map(|saga| (lane.key.clone(), saga)));
        }
    }
    let has_more = sagas.len() > args.limit || !look.is_over;
    sagas.truncate(args.limit);
    let shown = sagas.iter().map(|(key, saga)| json!({ "key": key, "saga": saga }));
    output.json(&json!({
        "sagas": shown.collect::<Vec<_>>(),
        "more": has_more,
        "partitions_elsewhere": look.elsewhere,
    }));
    table(&sagas).print(output, "no sagas");
    if has_more {
        output.note("there are more: see --limit, --prefix and --stage");
    }
    if !look.elsewhere.is_empty() {
        let count = look.elsewhere.len();
        output.note(format!("{count} partitions are other hosts': ask them with --url"));
    }
    Ok(Exit::Done)
}

fn table(sagas: &[(String, Saga)]) -> Table {
    let mut table = Table::new(&[
        ("SAGA", Side::Left),
        ("KEY", Side::Left),
        ("ID", Side::Left),
        ("STAGE", Side::Left),
        ("STEP", Side::Left),
        ("DUE", Side::Left),
        ("FAILED", Side::Left),
    ]);
    for (key, saga) in sagas {
        table.row([
            saga.name.clone(),
            key.clone(),
            saga.id.clone(),
            saga.stage.clone(),
            saga.step.clone(),
            saga.due.clone().unwrap_or_else(|| "-".to_owned()),
            saga.trouble(),
        ]);
    }
    table
}

/// Pages through the names of a subscription's state.
struct Look {
    after: Option<String>,
    is_over: bool,
    elsewhere: Vec<u64>,
}

impl Look {
    /// Keys on the next page that have sagas, each once.
    fn keys(&mut self, client: &Client, args: &Args) -> Result<Vec<String>, Problem> {
        let mut request = Request::to(format!("/state/{}", segment(&args.subscription)));
        request.query = vec![("limit", "1000".to_owned())];
        request.query.extend(args.prefix.iter().map(|it| ("prefix", it.clone())));
        request.query.extend(self.after.take().map(|it| ("after", it)));
        let page = client.get(request)?;
        self.elsewhere = list(&page, "partitions_elsewhere")
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .collect();
        match text(&page, "next") {
            "" => self.is_over = true,
            next => self.after = Some(next.to_owned()),
        }
        let entries = list(&page, "entries").iter();
        let sagas = entries.filter(|entry| text(entry, "name").starts_with(PREFIX));
        let mut keys: Vec<String> = sagas.map(|entry| text(entry, "key").to_owned()).collect();
        keys.dedup();
        Ok(keys)
    }
}
