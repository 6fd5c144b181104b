//! Signing in, in each of the ways there are, and disconnecting.
//!
//! ```text
//! request ─▶ code · device · unattended · api_key · import ─▶ client ─▶ token_exchange ─▶ adopt
//!                    pending (the saved state)
//! ```
//!
//! Every way ends in one adoption: the connection, its client and its grant are written in one step. What a person must
//! do in between is shown through [`Prompter`]. The state of an unfinished sign-in is stored sealed, so that an interrupted
//! sign-in resumes.

mod access_request;
mod adopt;
mod api_key;
mod client;
mod client_secret;
mod code;
mod connect;
mod device;
mod difference;
mod disconnect;
mod error;
mod import;
mod outcome_page;
mod pasted;
mod pending;
mod request;
mod request_credentials;
mod step_up;
mod token_exchange;
mod unattended;

use self::access_request::AccessRequest;
pub use self::{
    api_key::Rotation,
    difference::{Comparison, SettingDifference},
    error::ConnectError,
    import::ImportRequest,
    request::{
        Again, ConnectRequest, PromptAction, Prompter, SignInMethod, SignInPrompt, UnattendedSignIn,
    },
};
#[cfg(test)]
mod tests;
