//! Owns a Chromium without a window that shows one page, and asks that page what it shows. It
//! speaks the `DevTools` protocol over a pipe, and knows nothing of the page.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An answer comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_mins(1);
/// Ends every message on the pipe.
const END: u8 = 0;

/// A browser with one page. Killed when dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    questions: ChildStdin,
    answers: Receiver<Value>,
    asked: u64,
    /// The page's session; none before there is a page.
    session: Option<String>,
    _profile: TempDir,
}

impl Browser {
    /// Shows the page at that address.
    ///
    /// # Errors
    ///
    /// When there is no Chromium, or it does not do as it is told.
    pub fn open(url: &str) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("gristmill-browser-").tempdir()?;
        // It reads from descriptor 3 and writes to 4. A sandbox of its own it cannot have where the
        // tests are run by root, or in a container.
        let mut process = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--no-first-run"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start chromium")?;
        let questions = process.stdin.take().context("a pipe")?;
        let told = BufReader::new(process.stdout.take().context("a pipe")?);
        let (sender, answers) = channel();
        thread::spawn(move || {
            for message in told.split(END) {
                let message = message.ok().and_then(|it| serde_json::from_slice(&it).ok());
                // It ended, or nobody listens any more: the browser was dropped.
                if message.is_none_or(|it: Value| sender.send(it).is_err()) {
                    return;
                }
            }
        });
        let (asked, session) = (0, None);
        let mut browser = Self { process, questions, answers, asked, session, _profile: profile };
        let target = browser.ask("Target.createTarget", json!({ "url": url }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        Ok(browser)
    }

    /// What an expression in JavaScript comes to in the page.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.ask("Runtime.evaluate", asked)?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        Ok(answer["result"]["value"].take())
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.asked += 1;
        let mut question = json!({ "id": self.asked, "method": method });
        question["params"] = params;
        if let Some(session) = &self.session {
            question["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&question)?;
        bytes.push(END);
        self.questions.write_all(&bytes)?;
        loop {
            let answer = self.answers.recv_timeout(PATIENCE);
            let mut answer = answer.with_context(|| format!("no answer to {method}"))?;
            // Everything else is told unasked.
            if answer["id"] == self.asked {
                ensure!(answer["error"].is_null(), "{method}: {answer}");
                return Ok(answer["result"].take());
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
