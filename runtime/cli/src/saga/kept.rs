//! Reads sagas out of the state they are kept in. What a newer form has besides is left alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{list, text};
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};

/// Names of the values that are sagas begin with it.
pub(super) const PREFIX: &str = "saga/";

/// The lane that a saga runs in.
#[derive(Debug, clap::Args)]
pub(super) struct Lane {
    /// The orchestrator's subscription
    pub(super) subscription: String,
    /// Key of the events that started it and answer it
    pub(super) key: String,
    /// Id of the saga, where the key has several
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
}

/// A saga as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saga {
    #[serde(rename = "saga")]
    pub(super) name: String,
    pub(super) id: String,
    pub(super) stage: String,
    pub(super) step: String,
    pub(super) attempt: u64,
    #[serde(default)]
    pub(super) due: Option<String>,
    #[serde(default)]
    pub(super) failure: Option<Failed>,
    pub(super) replies: String,
    #[serde(default)]
    pub(super) data: Value,
    #[serde(default)]
    pub(super) history: Vec<Entry>,
    #[serde(default)]
    pub(super) ignored: u64,
}

/// What it compensates for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) reason: String,
}

/// One line of its history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) deed: String,
    #[serde(default)]
    pub(super) step: Option<String>,
    #[serde(default)]
    pub(super) attempt: Option<u64>,
    #[serde(default)]
    pub(super) event: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

impl Saga {
    /// What went wrong, in a few words; empty where nothing did.
    pub(super) fn trouble(&self) -> String {
        let failed = self.failure.as_ref();
        failed.map_or_else(String::new, |it| format!("{}: {}", it.step, it.reason))
    }
}

impl Lane {
    /// The sagas of the key, by name and id; one where an id is given.
    pub(super) fn sagas(&self, client: &Client) -> Result<Vec<Saga>, Problem> {
        let (subscription, key) = (segment(&self.subscription), segment(&self.key));
        let mut sagas = Vec::new();
        let mut after = None;
        loop {
            let mut request = Request::to(format!("/state/{subscription}/{key}"));
            request.query = vec![("prefix", PREFIX.to_owned())];
            request.query.extend(after.map(|after: String| ("after", after)));
            let page = client.get(request)?;
            for value in list(&page, "values") {
                sagas.extend(read(value)?);
            }
            match text(&page, "next") {
                "" => break,
                next => after = Some(next.to_owned()),
            }
        }
        if let Some(id) = &self.id {
            sagas.retain(|saga| saga.id == *id);
        }
        if sagas.is_empty() { Err(self.missing()) } else { Ok(sagas) }
    }

    fn missing(&self) -> Problem {
        let Self { subscription, key, id } = self;
        let of = id.as_ref().map_or_else(String::new, |id| format!(" of the id {id:?}"));
        Problem::failed("E0571", format!("{subscription} keeps no saga{of} under {key:?}"))
            .hint(format!("`gristmill saga list {subscription}` shows those that are kept"))
    }
}

/// A value as a saga; `None` where it is something else under a name like one's.
fn read(value: &Value) -> Result<Option<Saga>, Problem> {
    let Some(kept) = value.get("value").filter(|it| it.get("stage").is_some()) else {
        return Ok(None);
    };
    Saga::deserialize(kept).map(Some).map_err(|error| {
        let what = format!("{} is not kept as a saga is", text(value, "name"));
        Problem::failed("E0572", what).source(error)
    })
}
