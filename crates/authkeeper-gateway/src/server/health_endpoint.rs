//! `/livez` and `/healthz` of the daemon: whether it answers, and how its connections stand.

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, Health, HealthState},
    runtime::Runtime,
    store::StoreError,
};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::body::{ResponseBody, whole};

/// A connection and its health.
pub type NamedHealth = (ConnectionName, Health);

/// Tells how all connections stand.
#[async_trait]
pub trait HealthSource: Send + Sync + 'static {
    /// Every connection with its health.
    async fn healths(&self) -> Result<Vec<NamedHealth>, StoreError>;
}

#[async_trait]
impl HealthSource for Runtime {
    async fn healths(&self) -> Result<Vec<NamedHealth>, StoreError> {
        let all = self.statuses().await?.into_iter();
        let all = all.map(|status| (status.connection.name, status.health));
        Ok(all.collect())
    }
}

/// Who asks for the health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthDetail {
    /// A caller without the handle learns no names.
    Counts,
    /// A caller with the handle.
    Each,
}

/// The process answers.
pub(super) fn live() -> Response<ResponseBody> {
    Response::new(whole("ok\n".into()))
}

/// 200 if no connection needs attention, as `status --check` judges it, else 503.
pub(super) fn healths(
    read: Result<Vec<NamedHealth>, StoreError>,
    detail: HealthDetail,
) -> Response<ResponseBody> {
    let (status, body) = match read {
        Ok(all) => judged(&all, detail),
        Err(error) => {
            tracing::warn!(%error, "can't see how the connections stand");
            let message = "the store can't be read; authkeeper doctor says why";
            let body = json!({"error": "store", "message": message});
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    let mut response = Response::new(whole(format!("{body}\n").into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn judged(all: &[NamedHealth], detail: HealthDetail) -> (StatusCode, Value) {
    let states = all.iter().map(|(_, health)| health.state);
    let worst = states.max().unwrap_or(HealthState::Ok);
    let needing = all.iter().filter(|(_, health)| health.needs_attention());
    let needing = needing.count();
    let status = match needing {
        0 => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({
        "state": worst.as_str(),
        "connections": all.len(),
        "need_attention": needing,
    });
    if detail == HealthDetail::Each {
        let each = all.iter();
        let each = each.map(|(name, health)| (name.to_string(), json!(health)));
        body["health"] = Value::Object(each.collect::<Map<_, _>>());
    }
    (status, body)
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{HealthCause, ReauthorizeReason};

    use super::*;

    fn named(name: &str, cause: Option<HealthCause>, has_token: bool) -> NamedHealth {
        let health = cause.map_or(Health::OK, |cause| Health {
            state: cause.state(has_token),
            cause: Some(cause),
            whose_move: cause.whose_move(),
            ..Health::OK
        });
        (ConnectionName::parse(name).unwrap(), health)
    }

    #[test]
    fn it_is_unavailable_while_a_connection_needs_somebody() {
        let over = Some(HealthCause::GrantOver(ReauthorizeReason::RefreshRefused));
        let away = Some(HealthCause::ProviderUnavailable);
        let narrowed = Some(HealthCause::AuthorityNarrowed);
        for (cause, has_token, status, state) in [
            (None, true, 200, "ok"),
            (narrowed, true, 200, "notice"),
            (away, true, 200, "at_risk"),
            (away, false, 503, "down"),
            (over, true, 503, "at_risk"),
            (Some(HealthCause::Pending), false, 503, "off"),
        ] {
            let all = [named("a", None, true), named("b", cause, has_token)];
            let (said, body) = judged(&all, HealthDetail::Counts);
            assert_eq!(said, status, "{cause:?}");
            let needing = u64::from(status == 503);
            let right = json!({"state": state, "connections": 2, "need_attention": needing});
            assert_eq!(body, right);
        }
        assert_eq!(judged(&[], HealthDetail::Each).0, 200);
    }

    #[test]
    fn names_are_told_to_callers_with_the_handle() {
        let all = [named("b", Some(HealthCause::ClientRefused), false)];
        let (_, body) = judged(&all, HealthDetail::Each);
        assert_eq!(body["health"]["b"]["cause"], "client_refused");
        assert_eq!(body["health"]["b"]["whose_move"], "operator");
    }
}
