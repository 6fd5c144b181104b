//! Incidents: problems of a connection that its owner is notified of, one record per problem.

mod log;
mod record;

pub(crate) use self::{
    log::{
        BY_IDENTITY_PROVIDER, as_kept, keep, not_allowed, notify_in, open, reauthorize, uncertain,
    },
    record::{
        REJECTED, SCOPE_REFUSED, SCOPE_WANTED, fell_back_record, narrowed_record,
        reauthorize_record, rejected_record, rotation_due_record, scope_refused_record,
        scope_wanted_record, suspended_record, uncertain_record,
    },
};
