//! Says a word to a saga: an event in the topic of its answers, handled in its lane like any other.

use serde_json::json;

use super::kept::{Lane, Saga};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};

/// What is said.
#[derive(Debug)]
pub(super) enum Word<'a> {
    /// Go on.
    Resume,
    /// Be undone.
    Cancel {
        /// Why.
        reason: &'a str,
    },
}

impl Word<'_> {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Cancel { .. } => "cancel",
        }
    }

    /// The stage in which it means something.
    const fn stage(&self) -> &'static str {
        match self {
            Self::Resume => "stuck",
            Self::Cancel { .. } => "running",
        }
    }
}

/// Publishes it for the one saga that the lane names.
pub(super) fn run(
    client: &Client,
    lane: &Lane,
    word: &Word<'_>,
    output: &Output,
) -> anyhow::Result<Exit> {
    let sagas = lane.sagas(client)?;
    let [saga] = sagas.as_slice() else {
        let ids: Vec<&str> = sagas.iter().map(|saga| saga.id.as_str()).collect();
        return Err(Problem::usage("E0573", format!("{:?} has several sagas", lane.key))
            .hint(format!("choose with --id: {}", ids.join(", ")))
            .into());
    };
    if saga.stage != word.stage() {
        return Err(unfit(saga, word).into());
    }
    let answer = client.send(request(saga, lane, word), b"null").map_err(Problem::from)?;
    output.json(&json!({ "said": word.verb(), "saga": saga, "published": answer }));
    let Lane { subscription, key, .. } = lane;
    output.line(format!("told {} {} to {}", saga.name, saga.id, word.verb()));
    output.note(format!("`gristmill saga show {subscription} {key}` shows what becomes of it"));
    Ok(Exit::Done)
}

fn unfit(saga: &Saga, word: &Word<'_>) -> Problem {
    let Saga { name, id, stage, .. } = saga;
    let what = format!("{name} {id} is {stage}: only one that is {} can {}", word.stage(), {
        match word {
            Word::Resume => "go on",
            Word::Cancel { .. } => "be cancelled",
        }
    });
    let problem = Problem::failed("E0574", what);
    match (word, stage.as_str()) {
        (Word::Resume, "running" | "compensating") => {
            problem.hint("it goes on by itself: its commands are sent again when time is up")
        }
        _ => problem,
    }
}

fn request<'a>(saga: &Saga, lane: &Lane, word: &Word<'_>) -> Request<'a> {
    let mut request = Request::to(format!("/topics/{}", segment(&saga.replies)));
    request.query = vec![("key", lane.key.clone())];
    let header = |name: &str, value: &str| (format!("x-header-{name}"), value.to_owned());
    request.headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        header("saga-name", &saga.name),
        header("saga-id", &saga.id),
        header("saga-verb", word.verb()),
    ];
    if let Word::Cancel { reason } = word {
        request.headers.push(header("saga-reason", reason));
    }
    request
}
