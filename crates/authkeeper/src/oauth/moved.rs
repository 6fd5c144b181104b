//! A token endpoint that is not where it was: what its answer says of that.

use http::StatusCode;

/// What the answer says, for a person.
pub(crate) fn said(status: StatusCode, target: Option<&str>) -> String {
    let status = status.as_u16();
    match target {
        Some(target) => format!("its token endpoint redirects to {target} ({status})"),
        None if (300..400).contains(&status) => {
            format!("its token endpoint redirects and does not say where to ({status})")
        }
        None => format!("nothing answers at its token endpoint ({status})"),
    }
}

/// Whether the endpoint is meant to be gone from there for good (RFC 9110 §15.4, §15.5).
pub(crate) fn for_good(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 308 | 404 | 405 | 410)
}
