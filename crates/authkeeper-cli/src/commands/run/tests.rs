use authkeeper::model::{Event, Record};

use super::*;

pub(super) fn trouble(id: &str, event: Event, connection: &str) -> Trouble {
    Trouble {
        id: TroubleId(id.to_owned()),
        record: record(event, connection),
    }
}

pub(super) fn record(event: Event, connection: &str) -> Record {
    crate::carry::tests::record(event, connection)
}
