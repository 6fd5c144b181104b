//! Pure data and its transitions: no async, no input or output, no clock.
//!
//! A [`Connection`] is one authorized account at one provider for one resource. It points at a [`Grant`], which is one
//! refresh-token family; the grant's access token is its child. Whether a token is expired is derived from a
//! [`Moment`], whether a refresh runs is a [`Claim`]: neither is stored as a state.

mod claim;
mod connection;
mod failing;
mod grant;
mod ids;
mod mandate;
mod means;
mod notice;
mod provider;
mod record;
mod step_up;
mod time;
mod token;

pub use self::{
    claim::{Claim, ClaimPhase, UnknownKind},
    connection::{Connection, ConnectionState, InvalidPresentation, Presentation, Principal},
    failing::{Failing, FailingOf, LONGEST_REST, Rest, Said},
    grant::{Grant, GrantLifecycle, GrantType, ReauthorizeReason, StandbyKey, SuspendReason},
    ids::{
        AttemptId, ClientId, ConnectionName, Generation, GrantId, InvalidName, Issuer, Lineage,
        OwnerId, PrincipalId, Resource, Scope, TaskId, TroubleId,
    },
    mandate::{Account, Drift, Mandate},
    means::{AssertionSource, DpopUse, IdentityProvider, Means, SubjectFile},
    notice::{Notice, NoticeKind, Noticed},
    provider::{
        ClientAuthMethod, ClientRegistration, ClientSecret, InvalidReplayRule, Provider, Quirks,
        RegistrationSource, ReplayRule, ServerMetadata,
    },
    record::{Event, FailedCall, Record, Trouble},
    step_up::{MOST_IN_VAIN, ScopeRefusal, Step, StepUps, Wish},
    time::{BootId, BootStamp, Moment, NoMoment},
    token::{AccessToken, ENDLESS, LifetimeSource, RefreshToken, TokenSet},
};
