//! What people see: a progress bar and colours on a terminal, plain lines anywhere else.

use std::io::{IsTerminal, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// On no terminal, a line about the progress is printed so often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
/// The width of what is no terminal.
const PLAIN_WIDTH: u16 = 100;

/// Where a verb prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    terminal: bool,
    colours: bool,
}

/// What a verb prints something as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A heading.
    Strong,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// Less important.
    Faint,
}

impl Console {
    /// For this process's standard output.
    pub(crate) fn detect() -> Self {
        let terminal = stdout().is_terminal() && stderr().is_terminal();
        Self {
            terminal,
            colours: terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Without colours and progress bars, whatever the output is.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            terminal: false,
            colours: false,
        }
    }

    /// Whether somebody watches it.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// `text` in the colour of `tone`, if there are colours.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31;1",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// How many columns there are.
    pub(crate) fn width(self) -> u16 {
        match rustix::termios::tcgetwinsize(stdout()) {
            Ok(size) if self.terminal && size.ws_col > 0 => size.ws_col,
            _ => PLAIN_WIDTH,
        }
    }

    /// The progress of something that takes about `length`.
    pub(crate) fn progress(self, length: Duration) -> Progress {
        let bar = if self.terminal {
            let style = ProgressStyle::with_template("{bar:40.green} {msg}")
                .expect("the template is a constant")
                .progress_chars("━╸ ");
            ProgressBar::new(length.as_millis() as u64).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Progress {
            bar,
            plain: !self.terminal,
            next_line: PLAIN_INTERVAL,
        }
    }
}

/// A bar on a terminal; elsewhere a line now and then.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    next_line: Duration,
}

impl Progress {
    /// So much time has passed; `message` says what has come of it.
    pub(crate) fn update(&mut self, passed: Duration, message: &str) {
        self.bar.set_position(passed.as_millis() as u64);
        self.bar.set_message(message.to_owned());
        if self.plain && passed >= self.next_line {
            println!("  {:>4} s  {message}", passed.as_secs());
            self.next_line += PLAIN_INTERVAL;
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, text: &str) {
        if self.plain {
            println!("{text}");
        } else {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
