//! Owns the exit codes, which scripts rely on. It never ends the process by itself.

use std::process::ExitCode;

use crate::problem::Problem;

/// The same table, for `gristmill --help`.
pub(crate) const HELP: &str = "Exit codes:
  0  done, or everything checked is right
  1  what was checked, built or tested is wrong, or the host refuses what was asked
  2  the command line or a file it names is not what the command takes
  3  something around it failed: a file, a tool, the network
  130  a second signal, or one during the start, ended a host at once";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, or everything checked is right.
    Done,
    /// 1: what was checked, built or tested is wrong, or the host refuses what was asked.
    Failed,
    /// 2: the command line or a file it names is not what the command takes.
    Usage,
    /// 3: something around it failed: a file, a tool, the network.
    Environment,
    /// 130: a signal ended a host at once, before it was done.
    Interrupted,
}

impl Exit {
    /// The code of an error: that of its first [`Problem`], else 3.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        Problem::of(error).map_or(Self::Environment, |problem| problem.exit)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code() {
        for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Environment, Exit::Interrupted] {
            assert!(HELP.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn an_error_without_a_problem_is_the_environment() {
        assert_eq!(Exit::of(&anyhow::anyhow!("disk")), Exit::Environment);
        let usage = Problem::usage("E0501", "name a plugin");
        assert_eq!(Exit::of(&anyhow::Error::from(usage).context("new")), Exit::Usage);
    }
}
