//! Errors of `SQLite` as errors of the store.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// What an `SQLite` error means.
pub(super) fn fault(place: &str, error: &rusqlite::Error) -> StoreError {
    let place = place.to_owned();
    let detail = error.to_string();
    if error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == NO_ROOM_FOR_INDEX)
    {
        return StoreError::Full { place };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { place },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { place },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { place },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { place, detail }
        }
        Some(_) if detail.contains("no such table") => StoreError::Damaged { place, detail },
        Some(_) => StoreError::Unusable { place, detail },
        // Not SQLite's error but a row's: what it holds can't be read as what it must be.
        None => StoreError::Damaged { place, detail },
    }
}

/// `SQLite`'s code for an index that can't be made as large as it must be (`SQLITE_IOERR_SHMSIZE`).
pub(super) const NO_ROOM_FOR_INDEX: i32 = 4874;
