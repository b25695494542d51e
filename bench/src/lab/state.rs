//! What the lab changed on the machine, written down before it is changed.
//!
//! A lab is taken down when it is dropped and on signals that ask for its end. A process that was
//! killed by SIGKILL can do neither: its servers die with it (they ask the kernel for that), and
//! the next start finds the file it left and takes the rest down first. A lock that the kernel
//! releases with the process tells a dead run from a living one.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Refusal;

/// Where the state is kept: not across a start of the machine, which changes everything back.
const DIRECTORY: &str = "/run/dns64bench";
/// How long a killed process may take to be gone.
const END_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(5);

/// What was changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Changes {
    /// Network namespaces that were made; everything in them is ours.
    namespaces: Vec<String>,
    /// System settings: the file, and what was in it.
    settings: Vec<(PathBuf, String)>,
    /// Directories that were made.
    directories: Vec<PathBuf>,
}

/// The right to have a lab on this machine, and the list of what it changed. Takes everything back
/// when dropped.
#[derive(Debug)]
pub struct State {
    /// What was changed so far; nothing once it has been taken back.
    changes: Arc<Mutex<Changes>>,
    /// Where that is written down.
    file: PathBuf,
    /// Held as long as the process lives.
    _lock: File,
}

impl State {
    /// Takes the lock, takes down what a run that is no more left behind, and sees to it that
    /// signals take down what this one makes.
    ///
    /// # Errors
    /// [`Refusal`] if another run has the lock or there are no rights; else what failed.
    pub fn claim() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            let text = "a comparison makes network namespaces: it needs root (run it with sudo)";
            return Err(Refusal(text.to_owned()).into());
        }
        let directory = Path::new(DIRECTORY);
        fs::create_dir_all(directory).context(DIRECTORY)?;
        let lock = lock(&directory.join("lock"))?;
        let file = directory.join("state.json");
        if let Some(left) = read_state(&file)? {
            say("taking down the lab of a run that was killed");
            left.take_back();
            remove_file(&file)?;
        }
        let changes = Arc::new(Mutex::new(Changes::default()));
        let state = Self { changes: Arc::clone(&changes), file: file.clone(), _lock: lock };
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).context("cannot handle signals")?;
        thread::spawn(move || {
            if signals.forever().next().is_some() {
                // Kept until the end, so that nothing more is changed.
                let mut changes = locked(&changes);
                say("interrupted: taking the lab down");
                std::mem::take(&mut *changes).take_back();
                // The next start would do it again, which does no harm.
                let _left = fs::remove_file(&file);
                std::process::exit(130);
            }
        });
        Ok(state)
    }

    /// Makes a network namespace.
    ///
    /// # Errors
    /// If it cannot be written down or made.
    pub fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let mut changes = locked(&self.changes);
        changes.namespaces.push(name.to_owned());
        self.write(&changes)?;
        super::network::run("ip", &["netns", "add", name]).map(drop)
    }

    /// Changes a system setting, if this kernel has it.
    ///
    /// # Errors
    /// If it cannot be written down or changed.
    pub fn set(&self, file: &Path, value: &str) -> anyhow::Result<()> {
        let Ok(old) = fs::read_to_string(file) else { return Ok(()) };
        let mut changes = locked(&self.changes);
        changes.settings.push((file.to_owned(), old));
        self.write(&changes)?;
        fs::write(file, value).with_context(|| format!("{} = {value}", file.display()))
    }

    /// Makes a directory for files of the lab: on tmpfs, since servers keep their caches there.
    ///
    /// # Errors
    /// If it cannot be written down or made.
    pub fn make_directory(&self) -> anyhow::Result<PathBuf> {
        let path = Path::new(DIRECTORY).join("files");
        let mut changes = locked(&self.changes);
        changes.directories.push(path.clone());
        self.write(&changes)?;
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Writes the list: whole or not at all.
    fn write(&self, changes: &Changes) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, serde_json::to_vec(changes)?)
            .and_then(|()| fs::rename(&new, &self.file))
            .with_context(|| self.file.display().to_string())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let mut changes = locked(&self.changes);
        std::mem::take(&mut *changes).take_back();
        if let Err(error) = remove_file(&self.file) {
            say(&format!("{error:#}"));
        }
    }
}

impl Changes {
    /// Takes everything back, last things first. What fails is said, and the rest goes on.
    fn take_back(self) {
        for namespace in self.namespaces.iter().rev() {
            remove_namespace(namespace);
        }
        for (file, old) in self.settings.iter().rev() {
            if let Err(error) = fs::write(file, old) {
                say(&format!("cannot put {} back: {error}", file.display()));
            }
        }
        for directory in &self.directories {
            match fs::remove_dir_all(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    say(&format!("cannot remove {}: {error}", directory.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Takes the lock, and writes into it who has it.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| path.display().to_string())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        let text = format!(
            "another comparison is running on this machine (process {}): wait for its end",
            holder.trim()
        );
        return Err(Refusal(text).into());
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// What a run left behind; `None` if it left nothing.
fn read_state(file: &Path) -> anyhow::Result<Option<Changes>> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{}: remove what it names, and it", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

/// Removes a file that may be gone already.
fn remove_file(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Kills what runs in a namespace and removes it, if it is there. Its devices go with it.
fn remove_namespace(name: &str) {
    if !Path::new("/run/netns").join(name).exists() {
        return;
    }
    let pids = || -> Vec<Pid> {
        let output = Command::new("ip").args(["netns", "pids", name]).output();
        let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
        let text = String::from_utf8_lossy(&text);
        text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    };
    let deadline = Instant::now() + END_WAIT;
    loop {
        let running = pids();
        if running.is_empty() || Instant::now() > deadline {
            break;
        }
        for pid in running {
            // Gone already if it ended meanwhile.
            let _ended = kill_process(pid, Signal::KILL);
        }
        thread::sleep(POLL);
    }
    if let Err(error) = super::network::run("ip", &["netns", "delete", name]) {
        say(&format!("{error:#}"));
    }
}

/// The list, also if a thread that had it panicked.
fn locked(changes: &Mutex<Changes>) -> MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the operator.
fn say(text: &str) {
    // There is nowhere else to say it.
    let _unwritable = writeln!(io::stderr(), "dns64bench: {text}");
}
