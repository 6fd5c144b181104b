//! Pure data and its transitions: no async, no input or output, no clock.
//!
//! A [`Connection`] is one authorized account at one provider for one resource. It points at a [`Grant`], which is one
//! refresh-token family; the grant's access token is its child. Whether a token is expired is derived from a
//! [`Moment`], whether a refresh runs is a [`Claim`]: neither is stored as a state.

mod claim;
mod connection;
mod extra_headers;
mod failing;
mod grant;
mod grant_change;
mod grant_material;
mod grant_type;
mod health;
mod ids;
mod kept_client;
mod provider;
mod provider_habits;
mod provider_observation;
mod record;
mod request_settings;
mod severity;
mod step_up;
mod subject_binding;
mod time;
mod token;
mod validation;

pub(crate) use self::kept_client::MOST_SECRETS;
pub use self::{
    claim::{Claim, ClaimPhase, OwnerState, UnknownKind},
    connection::{Connection, ConnectionState, InvalidPresentation, Presentation, Principal},
    extra_headers::{ExtraHeader, ExtraHeaders, InvalidHeader, SetBy},
    failing::{Failing, FailingOf, LONGEST_REST, Rest, Said},
    grant::{Grant, GrantLifecycle, ReauthorizeReason, StandbyKey, SuspendReason},
    grant_change::{
        Committed, GrantChange, GrantChanged, GrantRecord, NewKey, Refreshed, RepeatedRefusal,
        Spend,
    },
    grant_type::{GrantRegistration, GrantType, Renewal, SignInKind},
    health::{
        Health, HealthCause, HealthFacts, HealthState, WhoseMove, causes, health,
        restoring_command, worst,
    },
    ids::{
        AttemptId, ClientId, ConnectionName, Generation, GrantId, IncidentId, InvalidName, Issuer,
        Lineage, OwnerId, PrincipalId, Resource, Scope, TaskId,
    },
    provider::{
        ClientAuthMethod, ClientRegistration, ClientSecret, InvalidReplayRule, MtlsAliases,
        Provider, Quirks, RegistrationSource, ReplayRule, ServerMetadata,
    },
    provider_habits::ProviderHabits,
    record::{Event, FailedCall, Incident, Record},
    request_settings::{OwnParameter, RequestSettings},
    severity::{NotifyDelay, Severity, notify_delay, severity},
    step_up::{MOST_IN_VAIN, ScopeRefusal, ScopeRequest, StepUpDecision, StepUps},
    time::{BootId, BootStamp, Moment, NoMoment},
    token::{AccessToken, ENDLESS, LifetimeSource, RefreshToken, TokenSet},
    validation::{ProvenCall, Validation},
};
pub use self::{
    grant_material::{AssertionSource, DpopUse, GrantMaterial, IdentityProvider, SubjectFile},
    provider_observation::{Observation, ObservationKind, ProviderObservation},
    subject_binding::{Account, Drift, SubjectBinding},
};
