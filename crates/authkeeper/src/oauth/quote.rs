//! Text of a reply, made fit to show to a person.

use crate::{
    http::Reply,
    model::Scope,
    text::sanitize::{one_line, printable},
};

/// What a refusal without a code may mean.
pub(crate) const GUESS: &str =
    "it may be a wrong client secret, a grant that is over, or a firewall's answer";

/// A scope as a server tells it: a person is shown it.
pub(super) fn displayable_scope(text: &str) -> Scope {
    Scope::new(printable(text).collect::<String>())
}

/// The start of a body that was not what was asked for, fit for an error message: one line, printable, short, and only
/// when it is HTML or plain text (a JSON body may carry a secret).
pub(crate) fn body_hint(reply: &Reply) -> String {
    let kind = one_line(&reply.content_type());
    let kind = if kind.is_empty() {
        "no content type".to_owned()
    } else {
        kind
    };
    format!(
        "status {}, {kind}, {} bytes",
        reply.status.as_u16(),
        reply.body.len()
    )
}
