//! Shows what is wrong with configuration documents. It finds nothing wrong by itself.

use gristmill_config::{Problem, Problems, Severity};
use serde_json::{Value, json};

use crate::output::{Output, Style};

/// Shows every problem of a refused document, and what follows from it.
pub(crate) fn refused(problems: &Problems, so: &str, output: &Output) {
    output.json(&json!({ "problems": listed(problems) }));
    if !output.is_json() {
        notes(problems, output);
        let errors = errors(problems);
        let noun = if errors == 1 { "error" } else { "errors" };
        output.note(format!("{errors} {noun}: {so}"));
    }
}

/// Shows problems beside the answer; those that are errors first told as such.
pub(crate) fn notes(problems: &Problems, output: &Output) {
    for problem in problems {
        output.note(shown(problem, output));
    }
}

/// How many of them are errors.
pub(crate) fn errors(problems: &Problems) -> usize {
    problems.iter().filter(|problem| problem.severity == Severity::Error).count()
}

/// For `--json`.
pub(crate) fn listed(problems: &Problems) -> Vec<Value> {
    let listed = problems.iter().map(|problem| {
        let Problem { file, line, column, code, severity, reason, instead } = problem;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        json!({
            "file": file, "line": line, "column": column, "code": code, "severity": severity,
            "reason": reason, "instead": instead,
        })
    });
    listed.collect()
}

fn shown(problem: &Problem, output: &Output) -> String {
    let Problem { file, line, column, code, severity, reason, instead } = problem;
    let (style, word) = match severity {
        Severity::Error => (Style::Bad, "error"),
        Severity::Warning => (Style::Hint, "warning"),
    };
    let label = output.paint_note(style, &format!("{word}[{code}]:"));
    let place = output.paint_note(Style::Dim, &format!("  at {file}:{line}:{column}"));
    let mut text = format!("{label} {reason}\n{place}");
    if let Some(instead) = instead {
        let label = output.paint_note(Style::Hint, "write:");
        text = format!("{text}\n  {label} {instead}");
    }
    text
}
