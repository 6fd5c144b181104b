//! scaffolding
pub mod decide;
