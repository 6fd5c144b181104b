//! A token endpoint that is not where it was: what its answer says of that.

use http::StatusCode;

/// What the server has done, for a person.
pub(crate) fn said(status: StatusCode, target: Option<&str>) -> String {
    let code = status.as_u16();
    match target {
        Some(target) => format!("moved its token endpoint to {target} ({code})"),
        None if status.is_redirection() => {
            format!("moved its token endpoint and does not say where to ({code})")
        }
        None => format!("answers nothing at its token endpoint ({code})"),
    }
}
