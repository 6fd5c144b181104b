//! Lines for a person: standard error, or the buffer of a test.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use authkeeper::model::Record;

/// Where lines for a person are written.
#[derive(Clone)]
pub struct Report {
    out: Arc<Mutex<dyn Write + Send>>,
    as_text: fn(&Record) -> String,
}

impl Report {
    /// Lines go to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Arc::new(Mutex::new(out)),
            as_text: |record| serde_json::to_string(record).unwrap_or_default(),
        }
    }

    /// Records are told in these words, and not as JSON.
    #[must_use]
    pub fn telling(self, as_text: fn(&Record) -> String) -> Self {
        Self { as_text, ..self }
    }

    /// Writes a record: one JSON line, unless a person reads it.
    pub fn record(&self, record: &Record) {
        self.line(&(self.as_text)(record));
    }

    /// Writes one line in one write, so that lines of several processes don't mix.
    pub fn line(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::debug!(%error, "a line for a person can't be written");
        }
    }
}
