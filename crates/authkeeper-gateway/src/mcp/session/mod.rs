//! What the messages of one client share: the session, the order, the headers, the tools.

pub(super) mod headers;
pub(super) mod late_answers;
pub(super) mod open_requests;
pub(super) mod order;
pub(super) mod sessions;
pub(super) mod tools;
