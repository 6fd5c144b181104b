//! The harmless call that proves a connection: which one it is, the call itself, and its repetition while nobody calls.

mod call;
mod probe;
mod validator;

pub use self::{
    call::{CheckCall, Probe, check_call_of},
    probe::{ProbeAnswer, ProbeError, request},
    validator::{ValidatorSettings, validate},
};
