//! How far a long run is: a bar on stderr, on a terminal only.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keytrail_ingest::Progress;

/// Bytes, rate and time left are those of archive files.
const READING: &str = "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
const WRITING: &str = "{msg}";

/// The bar of an ingest run. Drops without a trace.
pub(crate) struct IngestBar {
    bar: ProgressBar,
    /// Archives found, and done with.
    archives: AtomicU64,
    done: AtomicU64,
}

impl IngestBar {
    /// A bar that is not there where stderr is no terminal.
    pub(crate) fn on_terminal() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        set_style(&bar, READING);
        Self { bar, archives: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// Shows a step. May be called from any thread.
    pub(crate) fn show(&self, step: Progress) {
        match step {
            Progress::Found { archives, bytes } => {
                self.archives.store(archives, Ordering::Relaxed);
                self.done.store(0, Ordering::Relaxed);
                self.bar.set_length(bytes);
                self.bar.set_position(0);
                self.show_archives(0);
            }
            Progress::Read { bytes } => self.bar.inc(bytes),
            Progress::Archive { bytes } => {
                self.bar.inc(bytes);
                self.show_archives(self.done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Progress::Writing { done, of } => {
                if done == 0 {
                    set_style(&self.bar, WRITING);
                }
                self.bar.set_message(format!("writing files: {done} of {of}"));
            }
            // Steps that later versions may tell.
            _ => {}
        }
    }

    fn show_archives(&self, done: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{done}/{} archives", self.archives.load(Ordering::Relaxed)));
        }
    }
}

impl Drop for IngestBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        for template in [READING, WRITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
