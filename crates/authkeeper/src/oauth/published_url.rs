//! URLs that servers publish.

use crate::{
    http::{HttpUrl, InvalidUrl},
    text::sanitize::one_line,
};

/// A server published a URL that can't be used: its mistake, and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{by} publishes a wrong {field}: {problem}")]
pub struct PublishedUrl {
    /// Which server, by its issuer or the address of its document.
    pub by: String,
    /// The name of the field.
    pub field: &'static str,
    /// What is wrong with the URL.
    pub problem: InvalidUrl,
}

/// A URL out of a field of what a server published.
pub(super) fn parse_published(
    by: &str,
    field: &'static str,
    url: &str,
) -> Result<HttpUrl, PublishedUrl> {
    HttpUrl::parse(url).map_err(|problem| PublishedUrl {
        by: one_line(by),
        field,
        problem,
    })
}
