//! Lines for a person: standard error, or the buffer of a test.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

/// Where lines for a person are written.
#[derive(Clone)]
pub struct Report(Arc<Mutex<dyn Write + Send>>);

impl Report {
    /// Lines go to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(out)))
    }

    /// Writes one line in one write, so that lines of several processes don't mix.
    pub fn line(&self, text: &str) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::debug!(%error, "a line for a person can't be written");
        }
    }
}
