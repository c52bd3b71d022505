//! Processes that cannot outlive this program, and a few that are meant to.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::time::{Instant, sleep};

/// How often a process is asked whether it has exited or is ready.
const POLL: Duration = Duration::from_millis(10);

/// A child in a process group of its own. It dies, with all it started, when this value is dropped, and the kernel kills it
/// when the thread that spawned it ends in any other way (`PR_SET_PDEATHSIG`): spawn on the main thread.
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; `name` is what errors call it.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub(crate) fn spawn(mut command: Command, name: &str) -> io::Result<Self> {
        command.process_group(0);
        die_with_parent(&mut command);
        let child = command.spawn()?;
        let group = Pid::from_child(&child);
        Ok(Self {
            name: name.to_owned(),
            child,
            group,
            exit: None,
        })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// If the kernel cannot tell.
    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait()?;
        }
        Ok(self.exit)
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// If the kernel cannot tell.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            sleep(POLL).await;
        }
    }

    /// Sends a signal to the process and to all it started.
    ///
    /// # Errors
    /// If the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if self.exit.is_some() {
            bail!("{} has ended", self.name);
        }
        rustix::process::kill_process_group(self.group, signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Ends the process with SIGKILL and reaps it.
    pub(crate) fn kill(&mut self) {
        if self.exit.is_some() {
            return;
        }
        // Fails only if the group is gone already; then there is nothing left to kill.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
        self.exit = self.child.wait().ok();
    }

    /// Waits until a line that begins with `ready` stands in `output` behind byte `from`.
    ///
    /// # Errors
    /// If the process exits first, or `limit` passes.
    pub(crate) async fn ready(&mut self, output: &Path, from: u64, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while !says_ready(output, from) {
            if let Some(status) = self.exited()? {
                bail!("{} ended while starting: {}", self.name, describe(status));
            }
            if Instant::now() > end {
                bail!("{} was not ready within {limit:?}", self.name);
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An exit status in words, with the meaning of the server's own codes.
pub(crate) fn describe(status: ExitStatus) -> String {
    let meaning = match status.code() {
        Some(65) => " (its data is not what was written)",
        Some(66) => " (it lost its data: it has to come back under a new id)",
        Some(69) => " (an address is taken)",
        Some(70) => " (a bug)",
        Some(74) => " (its disk failed)",
        Some(78) => " (its settings are refused, or its directory is in use)",
        _ => "",
    };
    format!("{status}{meaning}")
}

/// Whether a line that begins with `ready` stands in the file behind byte `from`.
pub(crate) fn says_ready(output: &Path, from: u64) -> bool {
    let Ok(text) = fs::read(output) else {
        return false;
    };
    let new = text.get(from as usize..).unwrap_or_default();
    // Only whole lines: what is being written now is looked at next time.
    new.split_inclusive(|&byte| byte == b'\n')
        .any(|line| line.starts_with(b"ready") && line.ends_with(b"\n"))
}

/// The files that take a process's output.
pub(crate) struct OutputFiles {
    /// Its standard output.
    pub(crate) stdout: PathBuf,
    /// Its standard error.
    pub(crate) stderr: PathBuf,
}

impl OutputFiles {
    /// Sends the output of `command` to the ends of these files; returns how long the first one was.
    ///
    /// # Errors
    /// If a file cannot be opened.
    pub(crate) fn attach(&self, command: &mut Command) -> io::Result<u64> {
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let stdout = open(&self.stdout)?;
        let from = stdout.metadata()?.len();
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(open(&self.stderr)?);
        Ok(from)
    }
}

/// Starts a process that goes on after this program has ended, in a session of its own.
///
/// # Errors
/// If the program cannot be started.
pub(crate) fn spawn_detached(mut command: Command) -> io::Result<Child> {
    // SAFETY: between fork and exec only `setsid` is called, a plain system call.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    command.spawn()
}

fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only `prctl` and `getppid` are called, plain system calls.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above took effect.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn alive(pid: Pid) -> bool {
        // A zombie still has a pid; its state tells it from the living.
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn gone(pid: Pid) -> bool {
        for _ in 0..500 {
            if !alive(pid) {
                return true;
            }
            sleep(POLL).await;
        }
        false
    }

    async fn grandchild(file: &Path) -> Pid {
        for _ in 0..500 {
            if let Ok(text) = fs::read_to_string(file)
                && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
            {
                return pid;
            }
            sleep(POLL).await;
        }
        panic!("the shell wrote no pid");
    }

    #[tokio::test]
    async fn dropping_a_process_kills_what_it_started_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg("sleep 100 & echo $! > \"$0\"; wait")
            .arg(&file);
        let process = Process::spawn(shell, "sh").unwrap();
        let grandchild = grandchild(&file).await;
        assert!(alive(grandchild));
        drop(process);
        assert!(gone(grandchild).await);
    }

    #[tokio::test]
    async fn a_stopped_process_is_killed_too() {
        let mut sleeper = Command::new("sleep");
        sleeper.arg("100");
        let process = Process::spawn(sleeper, "sleep").unwrap();
        process.signal(Signal::STOP).unwrap();
        let pid = process.group;
        drop(process);
        assert!(gone(pid).await);
    }

    #[tokio::test]
    async fn a_process_dies_with_the_thread_that_spawned_it() {
        let pid = std::thread::spawn(|| {
            let mut sleeper = Command::new("sleep");
            sleeper.arg("100");
            let process = Process::spawn(sleeper, "sleep").unwrap();
            let pid = process.group;
            // As in a panic that aborts, or a SIGKILL: no destructor runs.
            std::mem::forget(process);
            pid
        })
        .join()
        .unwrap();
        assert!(gone(pid).await);
    }

    #[test]
    fn only_a_whole_new_line_says_ready() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        fs::write(&file, "ready 1\nnot ready\nread").unwrap();
        assert!(says_ready(&file, 0));
        assert!(!says_ready(&file, 8));
        fs::write(&file, "ready 1\nnot ready\nready").unwrap();
        assert!(!says_ready(&file, 8));
        fs::write(&file, "ready 1\nnot ready\nready\n").unwrap();
        assert!(says_ready(&file, 8));
    }

    #[tokio::test]
    async fn a_process_that_ends_while_starting_is_reported_with_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exit 74"]);
        let mut process = Process::spawn(shell, "member 2").unwrap();
        let error = process
            .ready(&dir.path().join("none"), 0, Duration::from_secs(20))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("member 2 ended while starting"), "{error}");
        assert!(error.contains("its disk failed"), "{error}");
    }
}
