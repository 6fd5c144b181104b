//! When a sign-in resolves an incident.

use authkeeper::{
    model::{ConnectionState, Event, GrantType, Record, SignInKind},
    runtime::ConnectionStatus,
};

/// Whether signing in again resolves this incident. Only then is a person asked to.
pub(crate) fn is_resolved_by_sign_in(record: &Record) -> bool {
    let sign_in = format!("authkeeper reauthorize {}", record.connection);
    let lost = matches!(
        record.event,
        Event::ReauthorizationRequired | Event::AuthorityLost
    );
    record.action == sign_in || (lost && record.action.ends_with(&sign_in))
}

/// Whether a person signs in to a connection of this grant type. The others are repaired by a new file, key or client, so a
/// sign-in link would lead nowhere.
pub(crate) fn has_interactive_sign_in(grant_type: Option<GrantType>) -> bool {
    grant_type.is_none_or(GrantType::is_interactive)
}

/// Whether a person signs in to it on another device.
pub(super) fn is_device_sign_in(grant_type: Option<GrantType>) -> bool {
    grant_type.map(GrantType::sign_in) == Some(SignInKind::Device)
}

/// Whether this connection waits for a person to sign in.
pub fn needs_sign_in(status: &ConnectionStatus) -> bool {
    let mut incidents = status.incidents.iter();
    let needs = matches!(
        status.state,
        ConnectionState::ReauthorizationRequired { .. }
    ) || incidents.any(|incident| is_resolved_by_sign_in(&incident.record));
    needs && has_interactive_sign_in(status.grant_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::record;

    #[test]
    fn links_are_for_what_a_person_signs_in_to() {
        use GrantType as G;
        for grant in [None, Some(G::AuthorizationCode), Some(G::DeviceCode)] {
            assert!(has_interactive_sign_in(grant), "{grant:?}");
        }
        for grant in [G::ClientCredentials, G::JwtBearer, G::IdJag, G::ApiKey] {
            assert!(!has_interactive_sign_in(Some(grant)), "{grant:?}");
        }
    }

    #[test]
    fn nobody_is_asked_to_sign_in_where_that_resolves_nothing() {
        let lost = record(Event::ReauthorizationRequired, "notion");
        assert!(is_resolved_by_sign_in(&lost));
        let with = |event, action: &str| {
            let action = action.to_owned();
            is_resolved_by_sign_in(&Record {
                event,
                action,
                ..lost.clone()
            })
        };
        let (authority, narrowed) = (Event::AuthorityLost, Event::AuthorityNarrowed);
        assert!(with(
            authority,
            "sign in as ana: authkeeper reauthorize notion"
        ));
        assert!(!with(authority, "sign in: authkeeper reauthorize notion2"));
        assert!(!with(
            lost.event,
            "authkeeper rotate notion --key-file FILE"
        ));
        assert!(!with(narrowed, "nothing, or authkeeper reauthorize notion"));
    }
}
