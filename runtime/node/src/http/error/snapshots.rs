//! Owns how requests about snapshots fail. It never decides that one does.

use axum::http::StatusCode;
use gristmill_store::Class;

use super::ApiError;
use crate::snapshots::SnapshotError;

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        let status = match error {
            SnapshotError::Unknown { .. } => StatusCode::NOT_FOUND,
            SnapshotError::Store(error) if error.class() != Class::Reject => {
                return Self::from(error);
            }
            SnapshotError::Store(_)
            | SnapshotError::Exists { .. }
            | SnapshotError::Impossible { .. }
            | SnapshotError::Busy { .. }
            | SnapshotError::Moved { .. }
            | SnapshotError::NotHere { .. }
            | SnapshotError::Lacks { .. }
            | SnapshotError::Foreign { .. } => StatusCode::CONFLICT,
        };
        Self::new(status, error.code(), crate::error::chain(&error)).hint(error.hint())
    }
}
