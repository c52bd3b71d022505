//! How far a run is: a bar on a terminal, nothing anywhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;

/// How often the bar moves by itself.
const TICK: Duration = Duration::from_millis(200);

/// A bar, if there is a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For a run that takes about `length`.
    pub(crate) fn new(console: Console, length: Duration) -> Self {
        if !console.is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let template = "{elapsed_precise} of about {about} {bar:30.green} {msg}";
        let about = format!("{} min", length.as_secs().div_ceil(60));
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .with_key(
                "about",
                move |_: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
                    // A line that cannot be drawn is no reason to end.
                    let _ = text.write_str(&about);
                },
            )
            .progress_chars("━╸ ");
        let bar = ProgressBar::new(length.as_secs()).with_style(style);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// What is done now.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_position(self.bar.elapsed().as_secs());
        self.bar.set_message(what.to_owned());
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
