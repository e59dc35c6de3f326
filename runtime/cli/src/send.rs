//! Sends a command to a running host and prints what its handler replies.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Remote, Request, segment};

/// What `gristmill send` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command, as [commands.NAME] of the host declares it
    command: String,
    /// Reads its data from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Its key, instead of what the host's rule finds in the data
    #[arg(long)]
    key: Option<String>,
    /// Names it: sent again under the same name it is handled once, and answered the same
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Media type of the data
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    #[command(flatten)]
    remote: Remote,
}

/// Sends the command and prints the reply; exit code 1 where that is an error of the handler's.
///
/// # Errors
///
/// When the input cannot be read, no host answers, or it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let data = data(args)?;
    let mut request = Request::to(format!("/commands/{}", segment(&args.command)));
    request.query.extend(args.key.iter().map(|key| ("key", key.clone())));
    request.headers.push(("content-type".to_owned(), args.content_type.clone()));
    let key = args.idempotency_key.iter();
    request.headers.extend(key.map(|key| ("idempotency-key".to_owned(), key.clone())));
    let replied = args.remote.client()?.call(request, &data).map_err(Problem::from)?;
    let header = |name: &str| replied.headers.get(name).map_or("", String::as_str);
    let is_replayed = header("idempotent-replayed") == "true";
    let reply = serde_json::from_str::<Value>(&replied.body);
    output.json(&json!({
        "status": replied.status,
        "command_id": header("command-id"),
        "replayed": is_replayed,
        "reply": reply.unwrap_or_else(|_no_json| json!(replied.body)),
    }));
    output.line(&replied.body);
    if is_replayed {
        output.note(output.paint_note(Style::Dim, "answered before, under this idempotency key"));
    }
    if replied.status < 400 {
        return Ok(Exit::Done);
    }
    output.note(format!("the handler replied with status {}", replied.status));
    Ok(Exit::Failed)
}

fn data(args: &Args) -> Result<Vec<u8>, Problem> {
    let mut data = Vec::new();
    let read = match &args.file {
        Some(path) => File::open(path).and_then(|mut file| file.read_to_end(&mut data)),
        None => io::stdin().lock().read_to_end(&mut data),
    };
    let of = args.file.as_ref().map_or("standard input".into(), |path| path.to_string_lossy());
    read.map_err(|error| Problem::environment("E0562", format!("read {of}")).source(error))?;
    Ok(data)
}
